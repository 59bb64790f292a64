import { createServer } from "node:net"
import type { AddressInfo } from "node:net"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

import { LaminaProcess, lamina, lastJson, root, temporaryFolder } from "./lamina-process.js"

/** A port that was free a moment ago: the coordinator must come back on the same address after it was killed. */
async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve))
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  return port
}

interface Participation {
  readonly rounds: readonly { round: number; outcome: string }[]
}

interface Federation {
  readonly folder: string
  readonly port: number
  readonly recipe: string
}

async function federation(): Promise<Federation> {
  const folder = temporaryFolder("crash")
  const recipe = join(folder, "recipe.yaml")
  const text = readFileSync(join(root, "examples/two-clients.yaml"), "utf8")
  writeFileSync(
    recipe,
    text
      .replace("../models/tiny", join(root, "models/tiny"))
      .replaceAll("data/", `${join(root, "examples/data")}/`)
      .replace("rounds: 2", "rounds: 3"),
  )
  return { folder, port: await freePort(), recipe }
}

function serve({ folder, port, recipe }: Federation): LaminaProcess {
  const args = [
    "serve",
    "--port",
    String(port),
    "--data-dir",
    join(folder, "data"),
    "--recipe",
    recipe,
    "--log-level",
    "error",
    "--json",
  ]
  return new LaminaProcess(args)
}

function joinAs({ folder, port }: Federation, name: string, ...more: string[]): LaminaProcess {
  const data = join(root, `examples/data/${name}.txt`)
  const args = [
    "join",
    `http://127.0.0.1:${port}`,
    "--name",
    name,
    "--data",
    data,
    "--work-dir",
    join(folder, name),
    "--json",
  ]
  return new LaminaProcess([...args, ...more])
}

async function accepted(client: LaminaProcess): Promise<number[]> {
  const finished = await client.finished
  expect(finished.status).toBe(0)
  return lastJson<Participation>(finished)
    .rounds.filter(({ outcome }) => outcome === "accepted" || outcome === "duplicate")
    .map(({ round }) => round)
}

async function exportedHash(folder: string): Promise<string> {
  const out = join(folder, "adapter")
  const finished = await lamina("export", join(folder, "data"), "--out", out, "--json")
  expect(finished.status).toBe(0)
  return readFileSync(join(out, "adapter_model.safetensors")).toString("base64")
}

test("a killed coordinator comes back and ends with the adapter of an undisturbed run", async () => {
  const calm = await federation()
  const server = serve(calm)
  await server.until(/"url"/)
  const [north, south] = [joinAs(calm, "north"), joinAs(calm, "south", "--rank", "4", "--precision", "q4")]
  expect(await accepted(north)).toEqual([1, 2, 3])
  expect(await accepted(south)).toEqual([1, 2, 3])
  server.kill("SIGTERM")
  expect((await server.finished).status).toBe(0)

  const rough = await federation()
  const first = serve(rough)
  await first.until(/"url"/)
  const clients = [joinAs(rough, "north"), joinAs(rough, "south", "--rank", "4", "--precision", "q4")] as const
  await clients[0].until(/north: update accepted/) // an acknowledged update of round 1 must survive
  first.kill("SIGKILL")
  await first.finished
  const second = serve(rough)
  expect(await accepted(clients[0])).toEqual([1, 2, 3])
  expect(await accepted(clients[1])).toEqual([1, 2, 3])
  second.kill("SIGTERM")
  await second.finished

  expect(await exportedHash(rough.folder)).toBe(await exportedHash(calm.folder))
}, 300_000)

test("a client killed while it trains resumes and every round counts it once", async () => {
  const setting = await federation()
  const server = serve(setting)
  await server.until(/"url"/)
  const south = joinAs(setting, "south", "--rank", "4", "--precision", "q4")
  const first = joinAs(setting, "north")
  await first.until(/north: trained/) // between training and receipt of round 1
  first.kill("SIGKILL")
  await first.finished
  const again = joinAs(setting, "north")
  expect(await accepted(again)).toEqual(expect.arrayContaining([2, 3]))
  expect(await accepted(south)).toEqual([1, 2, 3])
  server.kill("SIGTERM")
  await server.finished
}, 300_000)
