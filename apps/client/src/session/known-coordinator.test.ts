import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { pinCoordinator } from "./known-coordinator.js"

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lamina-pin-"))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const met = { coordinatorKey: new Uint8Array(32).fill(1), federationId: new Uint8Array(32).fill(2) }

test("the first coordinator is trusted, the same one again, another key or federation never", async () => {
  const path = join(folder, "coordinator.json")
  await pinCoordinator(path, met)
  await pinCoordinator(path, met)
  for (const field of ["coordinatorKey", "federationId"] as const)
    await expect(pinCoordinator(path, { ...met, [field]: new Uint8Array(32).fill(9) })).rejects.toMatchObject({
      code: "COORDINATOR_CHANGED",
      message: expect.stringContaining("0909090909090909"),
    })
})

test("a pin that cannot be read is no permission to trust anybody", async () => {
  const path = join(folder, "coordinator.json")
  for (const text of ["", "{", '{"coordinatorKey":1}']) {
    await writeFile(path, text)
    await expect(pinCoordinator(path, met)).rejects.toMatchObject({
      ...{ code: "FILE_UNREADABLE", hint: expect.stringContaining("remove it") as string },
    })
  }
})
