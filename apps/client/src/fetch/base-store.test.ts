import { checkManifest } from "./base-store.js"

const file = (path: string, bytes = 1): { path: string; bytes: number; hash: Uint8Array } => ({
  path,
  bytes,
  hash: new Uint8Array(32),
})

test("a manifest may name files inside its folder, also in folders of it", () => {
  const manifest = { name: "tiny", files: [file("config.json"), file("weights/model (1)-00001-of-00002.safetensors")] }
  expect(checkManifest(manifest)).toBe(manifest)
})

test.each(["../up", "a/../b", "/etc/passwd", "a//b", "", ".hidden", "a\\b", "c:d", "a\u0000b", "trailing. ", "a/"])(
  "the path %j is refused",
  (path) => {
    expect(() => checkManifest({ name: "x", files: [file(path)] })).toThrow(
      expect.objectContaining({ code: "FRAME_MALFORMED" }),
    )
  },
)

test("a path twice, and a size no checkpoint has, are refused", () => {
  for (const files of [[file("a"), file("a")], [file("a", 2 ** 41 + 1)]])
    expect(() => checkManifest({ name: "x", files })).toThrow(expect.objectContaining({ code: "FRAME_MALFORMED" }))
})
