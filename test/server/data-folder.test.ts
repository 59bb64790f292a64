import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"

import { lamina } from "../e2e/lamina-process.js"
import { closeAll, coordinatorOn, emptyFolder, joinAll, nextEvent, runRequest } from "./federation.js"

afterEach(closeAll)

/** A folder whose coordinator published a round and was closed. */
async function usedFolder(dataDir = emptyFolder()): Promise<string> {
  const coordinator = await coordinatorOn(dataDir)
  const { id: run } = await coordinator.createRun(runRequest())
  const ended = nextEvent(coordinator, "runEnded")
  for (const client of await joinAll(coordinator, "north", "south")) await client.submit(await client.task(run))
  await ended
  await closeAll()
  return dataDir
}

test.each([
  ["of random bytes", (file: string) => writeFileSync(file, Buffer.alloc(8_192, 0x5a))],
  ["cut short", (file: string) => truncateSync(file, Math.floor(statSync(file).size / 2))],
])(
  "a database %s ends the start with status 70, a line and a hint, also where nothing is logged",
  async (_, damage) => {
    const dataDir = await usedFolder()
    damage(join(dataDir, "lamina.db"))
    const { status, stderr } = await lamina("serve", "--port", "0", "--data-dir", dataDir, "--log-level", "silent")
    expect(stderr).toMatch(/^lamina: error: .*lamina\.db.*\[FILE_UNREADABLE\]\nlamina: hint: .*backup.*\n$/)
    expect(status).toBe(70)
    const forgotten = await lamina("forget", "north", "--data-dir", dataDir, "--out", join(dataDir, "out"))
    expect([forgotten.status, forgotten.stderr]).toEqual([1, stderr])
  },
  60_000,
)

test.each([
  ["missing", (file: string) => rmSync(file), /lamina\.db, got none/],
  ["empty", (file: string) => truncateSync(file, 0), /lamina\.db, got an empty file/],
])("a %s database beside a key and adapters is no new coordinator", async (_, lose, message) => {
  const dataDir = await usedFolder()
  lose(join(dataDir, "lamina.db"))
  await expect(coordinatorOn(dataDir)).rejects.toMatchObject({
    code: "FILE_UNREADABLE",
    message: expect.stringMatching(message) as string,
    hint: expect.stringContaining("restore lamina.db") as string,
  })
})

test("a database without its key, or with another, is refused, and no key is left in its place", async () => {
  const [dataDir, other] = [await usedFolder(), emptyFolder()]
  const { federationId } = await coordinatorOn(other)
  await closeAll()
  const key = join(dataDir, "coordinator.key")
  rmSync(key)
  await expect(coordinatorOn(dataDir)).rejects.toMatchObject({
    code: "FILE_UNREADABLE",
    message: expect.stringMatching(
      /^expected the key of federation [0-9a-f]{64} in coordinator\.key, got no file$/,
    ) as string,
    hint: "restore coordinator.key together with lamina.db",
  })
  expect(existsSync(key)).toBe(false)
  rmSync(join(other, "lamina.db"))
  // the other key, and a data folder that holds nothing else: it may begin anew
  expect((await coordinatorOn(other)).federationId).toBe(federationId)
})

test("a coordinator.key that is none is to be restored: another would be another federation", async () => {
  const dataDir = emptyFolder()
  writeFileSync(join(dataDir, "coordinator.key"), "junk\n", { mode: 0o600 })
  await expect(coordinatorOn(dataDir)).rejects.toMatchObject({
    code: "FILE_UNREADABLE",
    hint: expect.stringMatching(/^restore it from a backup.*another data folder/) as string,
  })
})

const openToOthers = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" }).filter(
    (name) => !name.startsWith("coordinator.lock") && (statSync(join(folder, name)).mode & 0o077) !== 0,
  )

test("nobody else can read what lies in a data folder, even where the folder itself is open to all", async () => {
  const dataDir = emptyFolder()
  chmodSync(dataDir, 0o755)
  const coordinator = await coordinatorOn(dataDir)
  const { id: run } = await coordinator.createRun(runRequest())
  const ended = nextEvent(coordinator, "runEnded")
  for (const client of await joinAll(coordinator, "north", "south")) await client.submit(await client.task(run))
  await ended
  expect(readdirSync(dataDir)).toEqual(expect.arrayContaining(["lamina.db", "lamina.db-wal", "lamina.db-shm"]))
  expect(readdirSync(join(dataDir, "adapters"))).not.toEqual([])
  expect(openToOthers(dataDir)).toEqual([])
})

test("what an earlier version left open is closed to others at the next start", async () => {
  const dataDir = await usedFolder()
  for (const name of ["adapters", "uploads"]) chmodSync(join(dataDir, name), 0o755)
  chmodSync(join(dataDir, "lamina.db"), 0o644)
  mkdirSync(join(dataDir, "theirs"), { mode: 0o755 })
  chmodSync(join(dataDir, "theirs"), 0o755)
  await coordinatorOn(dataDir)
  expect(openToOthers(dataDir)).toEqual(["theirs"])
})
