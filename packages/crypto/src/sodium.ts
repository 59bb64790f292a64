import sodium from "libsodium-wrappers-sumo"

await sodium.ready

/** libsodium, loaded. This package is its only importer. */
export { sodium }
