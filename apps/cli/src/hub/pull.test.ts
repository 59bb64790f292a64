import { createHash, randomBytes } from "node:crypto"
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { hostname, tmpdir } from "node:os"
import { join } from "node:path"

import { modelPath } from "../model-path.js"
import { listModels } from "./model-cache.js"
import { requireModelName } from "./model-name.js"
import { pull } from "./pull.js"
import type { PullView } from "./pull.js"
import { HubServer } from "./testing/hub-server.js"

/** Weights of a size that takes several reads; what they hold does not matter here. */
const weights = randomBytes(300_000)
const sha256 = createHash("sha256").update(weights).digest("hex")
const FILES = {
  "config.json": '{"model_type":"llama"}',
  "tokenizer.json": "{}",
  "model.safetensors": weights,
  "pytorch_model.bin": "pickle",
  "README.md": "# a model",
  ".gitattributes": "*",
}

let models: string
let hub: HubServer
const notes: string[] = []
const view: PullView = { start: () => {}, progress: () => {}, note: (text) => notes.push(text), close: () => {} }

beforeEach(async () => {
  models = await mkdtemp(join(tmpdir(), "lamina-pull-"))
  notes.length = 0
})
afterEach(async () => {
  await hub.close()
  await rm(models, { recursive: true })
})

interface Options {
  readonly globs?: readonly string[]
  readonly token?: string
  readonly offline?: boolean
  readonly signal?: AbortSignal
  readonly view?: Partial<PullView>
}

const pullFrom = (name: string, options: Options = {}): ReturnType<typeof pull> =>
  pull({
    models,
    name: requireModelName(name),
    globs: options.globs ?? [],
    hub: { endpoint: hub.endpoint, token: options.token, offline: options.offline ?? false },
    view: { ...view, ...options.view },
    signal: options.signal ?? new AbortController().signal,
    patience: { idleMs: 10_000, triesMax: 3, retryMs: 1 },
  })

/** The request for the weights that the storage saw, by its range. */
const ranges = (): (string | undefined)[] =>
  hub.seen
    .filter(({ host, url }) => host === "storage" && url.startsWith("/model.safetensors"))
    .map(({ range }) => range)

const part = (): string => join(models, "models--org--repo", "blobs", `${sha256}.part`)

test("a pull brings weights, config and tokenizer under their names, and nothing else", async () => {
  hub = await HubServer.start("org/repo", FILES)
  const { folder, commit } = await pullFrom("org/repo")
  expect(commit).toBe(hub.commit)
  expect((await readdir(folder)).sort()).toEqual(["config.json", "model.safetensors", "tokenizer.json"])
  expect((await readFile(join(folder, "model.safetensors"))).equals(weights)).toBe(true)
  expect(await modelPath("org/repo", models)).toBe(folder)
})

test("what is there is not fetched again, and the name is one file with the content", async () => {
  hub = await HubServer.start("org/repo", FILES)
  const { folder } = await pullFrom("org/repo")
  const before = hub.seen.filter(({ host }) => host === "storage").length
  await pullFrom("org/repo")
  expect(hub.seen.filter(({ host }) => host === "storage").length).toBe(before)
  const blob = await stat(join(models, "models--org--repo", "blobs", sha256))
  expect((await stat(join(folder, "model.safetensors"))).ino).toBe(blob.ino)
})

test("connections that are cut are gone on from where they were, as often as each brings something", async () => {
  hub = await HubServer.start("org/repo", { ...FILES, "config.json": "{}" })
  await pullFrom("org/repo", { globs: ["*.json"] })
  hub.behaviour.cuts = [70_000, 70_000, 70_000, 70_000] // more cuts than tries that bring nothing
  let seen = 0
  const progress = (_: string, bytes: number): void => {
    if (bytes <= seen) return
    seen = bytes
    hub.cut()
  }
  const { folder } = await pullFrom("org/repo", { globs: ["model.safetensors"], view: { progress } })
  expect((await readFile(join(folder, "model.safetensors"))).equals(weights)).toBe(true)
  expect(ranges()[0]).toBeUndefined()
  expect(ranges().length).toBe(5)
  expect(ranges().slice(1)).toEqual(expect.arrayContaining([expect.stringMatching(/^bytes=[1-9]\d*-$/)]))
})

test("a pull that was stopped leaves no model, and the next goes on from its bytes", async () => {
  hub = await HubServer.start("org/repo", FILES)
  hub.behaviour.cuts = [0, 0, 0, 0, 0, 0, 0, 0, 0]
  await mkdir(join(models, "models--org--repo", "blobs"), { recursive: true })
  await writeFile(part(), weights.subarray(0, 1000))
  await expect(pullFrom("org/repo")).rejects.toMatchObject({ code: "HUB_UNREACHABLE" })
  await expect(modelPath("org/repo", models)).rejects.toMatchObject({ code: "NOT_FOUND" })
  expect((await listModels(models))[0]).toMatchObject({ repo: "org/repo", snapshots: [], unfinished: 1000 })
  hub.behaviour.cuts = []
  const { folder } = await pullFrom("org/repo")
  expect((await readFile(join(folder, "model.safetensors"))).equals(weights)).toBe(true)
  expect(ranges().at(-1)).toBe("bytes=1000-")
})

test("an empty file of a repository is pulled like the others", async () => {
  hub = await HubServer.start("org/repo", { ...FILES, "merges.txt": "" })
  const { folder } = await pullFrom("org/repo")
  expect((await stat(join(folder, "merges.txt"))).size).toBe(0)
})

test("Ctrl-C ends a pull, and its bytes stay", async () => {
  hub = await HubServer.start("org/repo", FILES)
  const controller = new AbortController()
  const progress = (path: string, bytes: number): void => {
    if (path === "model.safetensors" && bytes > 0) controller.abort()
  }
  await expect(pullFrom("org/repo", { signal: controller.signal, view: { progress } })).rejects.toMatchObject({
    name: "AbortError",
  })
  expect((await stat(part())).size).toBeGreaterThan(0)
})

test.each(["withoutRanges", "refusesRanges"] as const)("a storage %s gives the whole file once more", async (how) => {
  hub = await HubServer.start("org/repo", FILES)
  hub.behaviour[how] = true
  await mkdir(join(models, "models--org--repo", "blobs"), { recursive: true })
  await writeFile(part(), weights.subarray(0, 1000))
  const { folder } = await pullFrom("org/repo")
  expect((await readFile(join(folder, "model.safetensors"))).equals(weights)).toBe(true)
})

test.each(["model.safetensors", "tokenizer.json"])("%s with a wrong byte is fetched once more", async (path) => {
  hub = await HubServer.start("org/repo", FILES)
  hub.behaviour.corrupt = { path, more: 1 }
  const { folder } = await pullFrom("org/repo")
  expect((await readFile(join(folder, path))).equals(Buffer.from(FILES[path as keyof typeof FILES]))).toBe(true)
})

test("a file that is wrong twice is an error, and nothing of it stays", async () => {
  hub = await HubServer.start("org/repo", FILES)
  hub.behaviour.corrupt = { path: "model.safetensors", more: 2 }
  await expect(pullFrom("org/repo")).rejects.toMatchObject({
    code: "BLOB_CORRUPT",
    message: expect.stringContaining(`sha256 ${sha256}`),
  })
  await expect(stat(part())).rejects.toThrow()
  await expect(modelPath("org/repo", models)).rejects.toMatchObject({ code: "NOT_FOUND" })
})

test("leftover bytes that are wrong cost one more fetch and are not believed", async () => {
  hub = await HubServer.start("org/repo", FILES)
  await mkdir(join(models, "models--org--repo", "blobs"), { recursive: true })
  await writeFile(part(), Buffer.alloc(1000, 7))
  const { folder } = await pullFrom("org/repo")
  expect((await readFile(join(folder, "model.safetensors"))).equals(weights)).toBe(true)
  expect(ranges()).toEqual(["bytes=1000-", undefined])
})

test("the token opens a private model and is not sent to the storage", async () => {
  hub = await HubServer.start("org/repo", FILES)
  hub.behaviour.token = "hf_secret"
  await pullFrom("org/repo", { token: "hf_secret" })
  const storage = hub.seen.filter(({ host }) => host === "storage")
  expect(storage.length).toBe(3)
  expect(storage.map(({ authorization }) => authorization)).toEqual([undefined, undefined, undefined])
})

test("a private model without a token, a wrong token and a gated model say what to do", async () => {
  hub = await HubServer.start("org/repo", FILES)
  hub.behaviour.token = "hf_secret"
  const refused = (hint: RegExp): object => ({ code: "HUB_REFUSED", hint: expect.stringMatching(hint) })
  await expect(pullFrom("org/repo")).rejects.toMatchObject(refused(/set HF_TOKEN/))
  const wrong = pullFrom("org/repo", { token: "hf_other" })
  await expect(wrong).rejects.toMatchObject(refused(/check HF_TOKEN/))
  await expect(wrong).rejects.toMatchObject({ message: expect.not.stringContaining("hf_other") })
  hub.behaviour.gated = true
  await expect(pullFrom("org/repo", { token: "hf_other" })).rejects.toMatchObject(refused(/accept the model's terms/))
})

test("an unknown model is an error that is not tried again", async () => {
  hub = await HubServer.start("org/repo", FILES)
  await expect(pullFrom("org/other")).rejects.toMatchObject({ code: "NOT_FOUND" })
  expect(hub.seen.length).toBe(1)
})

test("too many requests and a tired hub are waited for", async () => {
  hub = await HubServer.start("org/repo", FILES)
  hub.behaviour.failures = [{ status: 429, retryAfter: "0" }, { status: 503 }]
  await pullFrom("org/repo")
  expect(hub.seen.filter(({ url }) => url.startsWith("/api/")).length).toBe(3)
})

test("a hub that asks to wait for an hour, or refuses to the end, is an error with its status", async () => {
  hub = await HubServer.start("org/repo", FILES)
  hub.behaviour.failures = [{ status: 429, retryAfter: "3600" }]
  await expect(pullFrom("org/repo")).rejects.toMatchObject({ code: "RATE_LIMITED" })
  hub.behaviour.failures = [{ status: 500 }, { status: 500 }, { status: 500 }]
  await expect(pullFrom("org/repo")).rejects.toMatchObject({ code: "HUB_UNREACHABLE" })
  expect(hub.seen.length).toBe(4)
})

test("a hub that is not there is an error that names it", async () => {
  hub = await HubServer.start("org/repo", FILES)
  const { endpoint } = hub
  await hub.close()
  hub = await HubServer.start("org/repo", FILES)
  const gone = pull({
    ...{ models, name: requireModelName("org/repo"), globs: [], view, signal: new AbortController().signal },
    hub: { endpoint, token: undefined, offline: false },
    patience: { idleMs: 10_000, triesMax: 2, retryMs: 1 },
  })
  await expect(gone).rejects.toMatchObject({ code: "HUB_UNREACHABLE", message: expect.stringContaining(endpoint) })
})

test("offline nothing is fetched", async () => {
  hub = await HubServer.start("org/repo", FILES)
  await expect(pullFrom("org/repo", { offline: true })).rejects.toMatchObject({ code: "HUB_UNREACHABLE" })
  expect(hub.seen).toEqual([])
})

test.each([
  ["no JSON", "<html>"],
  ["no commit", '{"siblings":[]}'],
  ["a commit that leads up", '{"sha":"../../../../x","siblings":[]}'],
  ["no files", `{"sha":"${"a".repeat(40)}"}`],
  [
    "a file without its size",
    `{"sha":"${"a".repeat(40)}","siblings":[{"rfilename":"config.json","blobId":"${"b".repeat(40)}"}]}`,
  ],
  [
    "a size below zero",
    `{"sha":"${"a".repeat(40)}","siblings":[{"rfilename":"c.json","size":-1,"blobId":"${"b".repeat(40)}"}]}`,
  ],
  [
    "a hash that leads up",
    `{"sha":"${"a".repeat(40)}","siblings":[{"rfilename":"c.json","size":1,"blobId":"../../x"}]}`,
  ],
])("a description with %s is refused", async (_, description) => {
  hub = await HubServer.start("org/repo", FILES)
  hub.behaviour.description = description
  await expect(pullFrom("org/repo")).rejects.toMatchObject({ code: "HUB_MALFORMED" })
})

test("files whose names lead out of the folder are as if they were not there", async () => {
  hub = await HubServer.start("org/repo", { "../../evil.json": "{}", "/etc/evil.json": "{}", ...FILES })
  const { folder } = await pullFrom("org/repo", { globs: ["**.json"] })
  expect((await readdir(folder)).sort()).toEqual(["config.json", "tokenizer.json"])
})

test("a model larger than the disk is refused before the first byte", async () => {
  hub = await HubServer.start("org/repo", FILES)
  const lfs = { sha256: "c".repeat(64), size: 2 ** 52 }
  const siblings = [{ rfilename: "model.safetensors", size: 2 ** 52, lfs }]
  hub.behaviour.description = JSON.stringify({ sha: hub.commit, siblings })
  await expect(pullFrom("org/repo")).rejects.toMatchObject({ code: "STORAGE_FULL" })
})

test("a hub that sends more than it said is cut off", async () => {
  hub = await HubServer.start("org/repo", FILES)
  const lfs = { sha256: "c".repeat(64), size: 1000 }
  hub.behaviour.description = JSON.stringify({
    sha: hub.commit,
    siblings: [{ rfilename: "model.safetensors", size: 1000, lfs }],
  })
  await expect(pullFrom("org/repo")).rejects.toMatchObject({ code: "BLOB_CORRUPT" })
})

test("two pulls at once fetch a model once", async () => {
  hub = await HubServer.start("org/repo", FILES)
  const [one, two] = await Promise.all([pullFrom("org/repo"), pullFrom("org/repo")])
  expect(one.folder).toBe(two.folder)
  expect(ranges().length).toBe(1)
  expect(await readdir(join(models, "models--org--repo"))).not.toContain("lock")
})

test("the lock of a process that died is taken over", async () => {
  hub = await HubServer.start("org/repo", FILES)
  await mkdir(join(models, "models--org--repo"), { recursive: true })
  // the largest process number that Linux gives out is 2^22
  await writeFile(join(models, "models--org--repo", "lock"), `${2 ** 22 + 1} ${hostname()} x`)
  await pullFrom("org/repo")
  expect(notes).toEqual([])
})

test("a quantization picks one GGUF file of many; without one the error lists them", async () => {
  hub = await HubServer.start("org/repo", { "m-Q4_K_M.gguf": "GGUF4", "m-Q8_0.gguf": "GGUF8" })
  const { folder } = await pullFrom("org/repo:q8_0")
  expect(await readdir(folder)).toEqual(["m-Q8_0.gguf"])
  expect(await modelPath("org/repo:Q8_0", models)).toBe(join(folder, "m-Q8_0.gguf"))
  await expect(pullFrom("org/repo")).rejects.toMatchObject({
    code: "USAGE",
    hint: expect.stringContaining("m-Q4_K_M.gguf"),
  })
  await expect(pullFrom("org/repo:Q2_K")).rejects.toMatchObject({ code: "NOT_FOUND" })
  await pullFrom("org/repo:Q4_K_M")
  expect((await readdir(folder)).sort()).toEqual(["m-Q4_K_M.gguf", "m-Q8_0.gguf"])
})

test("shards come with their index, and weights that can run code are refused", async () => {
  const shards = { "model-00001-of-00002.safetensors": "1", "model-00002-of-00002.safetensors": "2" }
  hub = await HubServer.start("org/repo", { ...shards, "model.safetensors.index.json": "{}", "config.json": "{}" })
  const { files } = await pullFrom("org/repo")
  expect(files.length).toBe(4)
  await hub.close()
  hub = await HubServer.start("org/pickle", { "pytorch_model.bin": "x", "config.json": "{}" })
  await expect(pullFrom("org/pickle")).rejects.toMatchObject({
    code: "MODEL_UNSUPPORTED",
    message: expect.stringContaining("can run code"),
  })
})
