import { mkdtempSync, readdirSync, statSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"

import { openSpool } from "./spool.js"
import type { Spool } from "./spool.js"

const onFailure = (error: Error) => {
  throw error
}
const spoolIn = () => openSpool(mkdtempSync(join(tmpdir(), "lamina-spool-")), onFailure)

test("pieces written in any order lie where they belong, in a file of its final size", async () => {
  const spool = spoolIn()
  await spool.create("ab", 10)
  await spool.write("ab", 6, Uint8Array.of(6, 7, 8, 9))
  expect(statSync(spool.pathOf("ab")).size).toBe(10)
  await spool.write("ab", 0, Uint8Array.of(1, 2))
  expect([...(await spool.read("ab", 0, 10))]).toEqual([1, 2, 0, 0, 0, 0, 6, 7, 8, 9])
  expect([...(await spool.read("ab", 8, 100))]).toEqual([8, 9])
})

test("making a file again keeps what is in it", async () => {
  const spool = spoolIn()
  await spool.create("ab", 4)
  await spool.write("ab", 1, Uint8Array.of(5))
  await spool.create("ab", 4)
  expect([...(await spool.read("ab", 0, 4))]).toEqual([0, 5, 0, 0])
})

test("a file that is not there reads as nothing, cannot be written, and may be removed again", async () => {
  const spool = spoolIn()
  expect([...(await spool.read("ab", 0, 4))]).toEqual([])
  await expect(spool.write("ab", 0, Uint8Array.of(1))).rejects.toMatchObject({ code: "ENOENT" })
  await spool.create("ab", 1)
  await spool.create("cd", 1)
  expect((await spool.ids()).sort()).toEqual(["ab", "cd"])
  await spool.remove("ab")
  await spool.remove("ab")
  expect(await spool.ids()).toEqual(["cd"])
})

const folderOf = (spool: Spool): string => dirname(spool.pathOf("ab"))
const inodeOf = (spool: Spool, id: string): number => statSync(spool.pathOf(id)).ino
const spares = (spool: Spool): string[] => readdirSync(folderOf(spool)).filter((name) => name.endsWith(".spare"))
const filled = (bytes: number, value: number): Uint8Array => new Uint8Array(bytes).fill(value)

/** A spool with one spare of so many bytes of 7, and that file's number. */
async function withSpare(bytes: number, spool = spoolIn()): Promise<{ spool: Spool; inode: number }> {
  await spool.create("ab", bytes)
  await spool.write("ab", 0, filled(bytes, 7))
  const inode = inodeOf(spool, "ab")
  await spool.remove("ab")
  return { spool, inode }
}

test("a removed file is nobody's, and the next of about its size is made of it, as long as asked for", async () => {
  for (const bytes of [1_000, 500, 2_000, 999, 1_001]) {
    const { spool, inode } = await withSpare(1_000)
    expect(await spool.ids()).toEqual([])
    expect([...(await spool.read("ab", 0, 4))]).toEqual([])
    await expect(spool.write("ab", 0, Uint8Array.of(1))).rejects.toMatchObject({ code: "ENOENT" })
    expect(await spool.create("cd", bytes)).toBe(true)
    expect(inodeOf(spool, "cd")).toBe(inode)
    expect(await spool.ids()).toEqual(["cd"])
    expect(spares(spool)).toEqual([])
    await spool.write("cd", 100, filled(bytes - 100, 1))
    await spool.write("cd", 0, filled(100, 2))
    expect(Buffer.from(await spool.read("cd", 0, 5_000))).toEqual(
      Buffer.concat([filled(100, 2), filled(bytes - 100, 1)]),
    )
  }
})

test("a spare of less than half or more than twice the size is left for others", async () => {
  for (const bytes of [499, 2_001]) {
    const { spool, inode } = await withSpare(1_000)
    await spool.create("cd", bytes)
    expect(inodeOf(spool, "cd")).not.toBe(inode)
    expect([...(await spool.read("cd", 0, 3))]).toEqual([0, 0, 0])
    expect(spares(spool)).toHaveLength(1)
  }
})

test("a file that is there is kept though a spare would fit", async () => {
  const { spool } = await withSpare(4)
  await spool.create("cd", 4)
  await spool.write("cd", 0, Uint8Array.of(1, 2, 3, 4))
  await spool.create("ef", 4)
  await spool.remove("ef")
  expect(await spool.create("cd", 4)).toBe(false)
  expect([...(await spool.read("cd", 0, 4))]).toEqual([1, 2, 3, 4])
})

test("two ids never share a file: of 300 steps in any order every file keeps its own bytes", async () => {
  const spool = spoolIn()
  let state = 12_345 // xorshift32
  const below = (n: number): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % n
  }
  const expected = new Map<string, Uint8Array>()
  for (let step = 1; step <= 300; step++) {
    const id = `a${below(8)}`
    const known = expected.get(id)
    if (known && below(2) === 0) {
      await spool.remove(id)
      expected.delete(id)
    } else {
      const bytes = known?.length ?? 600 + below(3) * 300
      expect(await spool.create(id, bytes)).toBe(!known)
      const content = filled(bytes, step & 255)
      await Promise.all([spool.write(id, 0, content.subarray(0, 300)), spool.write(id, 300, content.subarray(300))])
      expected.set(id, content)
    }
    expect((await spool.ids()).sort()).toEqual([...expected.keys()].sort())
    const inodes = [...expected.keys()].map((each) => inodeOf(spool, each))
    expect(new Set(inodes).size).toBe(inodes.length)
  }
  for (const [id, content] of expected) expect(Buffer.compare(await spool.read(id, 0, 10_000), content)).toBe(0)
})

test("a file that is removed while it is written to is no spare: the piece would land in another's", async () => {
  const spool = spoolIn()
  await spool.create("ab", 1 << 20)
  const inode = inodeOf(spool, "ab")
  const writing = spool.write("ab", 0, filled(1 << 20, 7))
  await spool.remove("ab")
  await spool.create("cd", 1 << 20)
  expect(inodeOf(spool, "cd")).not.toBe(inode)
  await spool.write("cd", 0, filled(1 << 20, 1))
  await writing.catch(() => undefined)
  expect(Buffer.compare(await spool.read("cd", 0, 1 << 20), filled(1 << 20, 1))).toBe(0)
  // nor does what comes for the same id again go to the file that is gone
  await spool.create("ab", 4)
  await spool.write("ab", 0, Uint8Array.of(1, 2, 3, 4))
  expect([...(await spool.read("ab", 0, 4))]).toEqual([1, 2, 3, 4])
})

test("spares that a crash left are gone at the start, and what it left of files becomes none", async () => {
  const { spool } = await withSpare(1_000)
  await spool.create("cd", 600)
  await spool.remove("cd")
  await spool.create("ef", 4)
  await spool.write("ef", 0, Uint8Array.of(1))
  expect(spares(spool)).toHaveLength(1)
  const next = openSpool(folderOf(spool), onFailure)
  expect(readdirSync(folderOf(spool))).toEqual(["ef.part"])
  await next.remove("ef")
  expect(readdirSync(folderOf(spool))).toEqual([])
})

test("spares go with the spool, and by themselves when nobody needs them for a while", async () => {
  const { spool } = await withSpare(1_000)
  await spool.close()
  expect(readdirSync(folderOf(spool))).toEqual([])
  const brief = openSpool(folderOf(spool), onFailure, { keptMs: 1 })
  await withSpare(1_000, brief)
  while (spares(brief).length > 0) await new Promise(setImmediate)
  await brief.create("cd", 1_000)
  expect([...(await brief.read("cd", 0, 3))]).toEqual([0, 0, 0])
})

/** /dev/full answers every write with ENOSPC, as a full disk does. */
const onLinux = process.platform === "linux" ? test : test.skip
onLinux("a full disk gets the spares back before it is STORAGE_FULL", async () => {
  const { spool } = await withSpare(1_000)
  symlinkSync("/dev/full", spool.pathOf("cd"))
  await expect(spool.write("cd", 0, Uint8Array.of(1))).rejects.toMatchObject({ code: "STORAGE_FULL" })
  expect(readdirSync(folderOf(spool))).toEqual(["cd.part"])
})
