import { mkdtempSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { openSpool } from "./spool.js"

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
