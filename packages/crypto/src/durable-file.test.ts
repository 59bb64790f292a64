import { mkdtempSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { writeDurably, writeDurablyOnce } from "./durable-file.js"

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lamina-durable-"))
})

const text = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7) & 0xff)

test.each([0, 1, 65_536, 65_537, 3_000_000])(
  "%i bytes replace what was there, in a folder made for them",
  async (n) => {
    const path = join(folder, "new", "deep", "file")
    await writeDurably(path, text(10), 0o640)
    await writeDurably(path, text(n))
    expect(readFileSync(path).equals(text(n))).toBe(true)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readdirSync(join(path, ".."))).toEqual(["file"])
  },
)

test("writers of one path at the same time: the file is one of theirs, whole", async () => {
  const path = join(folder, "file")
  const each = Array.from({ length: 8 }, (_, k) => new Uint8Array(100_000 + k).fill(k))
  await Promise.all(each.map((bytes) => writeDurably(path, bytes)))
  const got = readFileSync(path)
  expect(each.some((bytes) => got.equals(bytes))).toBe(true)
  expect(readdirSync(folder)).toEqual(["file"])
})

test("once: one of those that start together makes the file, and it stays", async () => {
  const path = join(folder, "file")
  const made = await Promise.all(Array.from({ length: 8 }, (_, k) => writeDurablyOnce(path, Uint8Array.of(k))))
  expect(made.filter(Boolean)).toHaveLength(1)
  expect([...readFileSync(path)]).toEqual([made.indexOf(true)])
  expect(await writeDurablyOnce(path, text(5))).toBe(false)
  expect(readFileSync(path)).toHaveLength(1)
  expect(readdirSync(folder)).toEqual(["file"])
})

test("a failure says which, leaves what was there, and nothing beside it", async () => {
  const path = join(folder, "taken")
  await writeDurably(join(path, "inside"), text(1)) // a folder: no file can take its name
  await expect(writeDurably(path, text(3))).rejects.toMatchObject({ code: "EISDIR" })
  expect(await writeDurablyOnce(path, text(3))).toBe(false)
  expect(readdirSync(folder)).toEqual(["taken"])
  writeFileSync(join(folder, "file"), "")
  await expect(writeDurably(join(folder, "file", "under"), text(3))).rejects.toMatchObject({ code: "ENOTDIR" })
  expect(readdirSync(folder)).toEqual(["file", "taken"])
})

test("a name that points elsewhere is replaced, what it points at is not", async () => {
  const [target, path] = [join(folder, "target"), join(folder, "link")]
  writeFileSync(target, "theirs")
  symlinkSync(target, path)
  await writeDurably(path, text(3))
  expect(readFileSync(target, "utf8")).toBe("theirs")
  expect(readFileSync(path)).toHaveLength(3)
})
