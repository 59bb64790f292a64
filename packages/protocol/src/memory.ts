/** Memory for so many bytes, content undefined. */
export type Memory = (bytes: number) => Uint8Array

/** A buffer of its own for each. */
export const ownMemory: Memory = (bytes) => new Uint8Array(bytes)
