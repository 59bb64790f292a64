import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import type { RecipeInput } from "@lamina/protocol/recipe"
import { startCoordinator } from "@lamina/server"
import type { CoordinatorEventMap, CoordinatorOptions, CoordinatorRuntime, RunningCoordinator } from "@lamina/server"

import { ProtocolClient } from "./protocol-client.js"

export function emptyFolder(): string {
  return mkdtempSync(join(tmpdir(), "lamina-server-"))
}

/** A base of two files; the coordinator never looks inside. */
export function baseFolder(): string {
  const folder = emptyFolder()
  writeFileSync(join(folder, "config.json"), `{"hidden_size":6}`)
  writeFileSync(join(folder, "model.safetensors"), Buffer.alloc(300_000, 7))
  return folder
}

/** Two layers, of 5 x 6 and 4 x 7. */
export const MODULES = [
  { name: "layers.0.q_proj", outFeatures: 5, inFeatures: 6 },
  { name: "layers.1.v_proj", outFeatures: 4, inFeatures: 7 },
]

export function recipe(changes: Partial<RecipeInput> = {}): RecipeInput {
  const cohort = { clients: 2, quorum: 0.5, softDeadlineMs: 60_000, hardDeadlineMs: 90_000, ...changes.cohort }
  return { name: "test", base: ".", rounds: 1, lora: { rank: 2, alphaPerRank: 2 }, ...changes, cohort }
}

export function runRequest(changes: Partial<RecipeInput> = {}) {
  return { recipe: recipe(changes) as never, base: { folder: baseFolder() }, modules: MODULES }
}

/** Resolves with the next event of that name which fits. */
export function nextEvent<K extends keyof CoordinatorEventMap>(
  coordinator: RunningCoordinator,
  name: K,
  fits: (event: CoordinatorEventMap[K]) => boolean = () => true,
): Promise<CoordinatorEventMap[K]> {
  return new Promise((resolve) => coordinator.on(name, (event) => fits(event) && resolve(event)))
}

const opened: { close(): Promise<void> | void }[] = []

/** A coordinator on a free port, closed with `closeAll`. */
export async function coordinatorOn(
  dataDir = emptyFolder(),
  options: Partial<CoordinatorOptions> = {},
  runtime: CoordinatorRuntime = {},
): Promise<RunningCoordinator> {
  const coordinator = await startCoordinator({ dataDir, port: 0, logLevel: "silent", tickMs: 20, ...options }, runtime)
  opened.push(coordinator)
  return coordinator
}

export function clientOf(
  coordinator: { url: string },
  name: string,
  identity?: ProtocolClient["identity"],
): ProtocolClient {
  const client = new ProtocolClient(coordinator.url, { name, ...(identity ? { identity } : {}) })
  opened.push(client)
  return client
}

/** For afterEach: everything a test opened, newest first. */
export async function closeAll(): Promise<void> {
  for (const resource of opened.splice(0).reverse()) await resource.close()
}

/** Clients of these names with open sessions. */
export function joinAll(coordinator: { url: string }, ...names: string[]): Promise<ProtocolClient[]> {
  return Promise.all(names.map((name) => clientOf(coordinator, name).open()))
}
