import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Worker } from "node:worker_threads"

import { nativeAvailable } from "@lamina/kernels"

import { openSafetensors } from "./safetensors-file.js"
import type { TensorStore } from "./safetensors-file.js"
import { writeSafetensors } from "./safetensors-write.js"

const MIB = 2 ** 20
let folder = ""
let store: TensorStore | undefined
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "lamina-mapped-"))))
afterEach(async () => {
  await store?.close()
  await rm(folder, { recursive: true })
})

/** 48 MiB of F32 and 16 MiB of BF16, then three bytes that put the last tensor off its alignment. */
const floats = Float32Array.from({ length: 12 * MIB }, (_, i) => i)
const halves = Uint16Array.from({ length: 8 * MIB }, (_, i) => i % 32_749)
const late = Float32Array.of(1.5, -2)
async function open(): Promise<TensorStore> {
  const path = join(folder, "model.safetensors")
  await writeSafetensors(
    path,
    new Map([
      ["a", { dtype: "F32", shape: [4096, 3072], data: floats }],
      ["b", { dtype: "BF16", shape: [8 * MIB], data: halves }],
      ["c", { dtype: "U8", shape: [3], data: Uint8Array.of(1, 2, 3) }],
      ["d", { dtype: "F32", shape: [2], data: late }],
    ] as const),
  )
  return (store = await openSafetensors(path))
}

const same = (bytes: Uint8Array, values: ArrayBufferView): boolean =>
  Buffer.compare(
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    Buffer.from(values.buffer, values.byteOffset, values.byteLength),
  ) === 0

/** What the system says about this process's mapping of a file: bytes in memory, and those of them that are copies. */
async function mapping(path: string): Promise<{ resident: number; copied: number }> {
  const all = await readFile("/proc/self/smaps", "utf8")
  const entry = all.slice(all.indexOf(path))
  const of = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(entry)![1]) * 1024
  return { resident: of("Rss"), copied: of("Anonymous") }
}

/** Bytes of this process's own memory, files apart. */
async function ownBytes(): Promise<number> {
  return Number(/RssAnon:\s+(\d+) kB/.exec(await readFile("/proc/self/status", "utf8"))![1]) * 1024
}

test("tensors of a mapped file have the values written, whatever their alignment", async () => {
  const { read } = await open()
  for (const [name, values] of [
    ["a", floats],
    ["b", halves],
    ["c", Uint8Array.of(1, 2, 3)],
    ["d", late],
  ] as const)
    expect(same(await read(name), values)).toBe(true)
  expect((await read("d")).byteOffset % 4).toBe(0)
})

/** Mapping needs the addon and glibc; elsewhere files are read, which the test above covers. */
const glibc = "glibcVersionRuntime" in ((process.report.getReport() as { header: object }).header ?? {})
const mapped = process.platform === "linux" && glibc && nativeAvailable()
const reason = mapped ? "" : " (skipped: no addon, or no glibc)"

;(mapped ? test : test.skip)(`a mapped file takes file cache, not memory of its own${reason}`, async () => {
  const { read } = await open()
  const before = await ownBytes()
  for (const name of ["a", "b"]) {
    const bytes = await read(name)
    for (let i = 0; i < bytes.length; i += 4096) if (bytes[i]! > 255) throw new Error("unreachable")
  }
  const { resident, copied } = await mapping(join(folder, "model.safetensors"))
  // 64 MiB of tensors, each page touched; none of them a copy. What the process needs besides is a few MiB.
  expect(resident).toBeGreaterThanOrEqual(64 * MIB)
  expect(copied).toBe(0)
  expect((await ownBytes()) - before).toBeLessThan(32 * MIB)
  expect((await read("a")).buffer).toBe((await read("b")).buffer)
})

;(mapped ? test : test.skip)(
  `worker threads see a mapped file, and what one writes stays out of it${reason}`,
  async () => {
    const { read } = await open()
    const bytes = await read("b")
    const worker = new Worker(
      `const { parentPort, workerData } = require("node:worker_threads")
     const seen = workerData[4242]
     workerData[4242] = seen + 1
     parentPort.postMessage(seen)`,
      { eval: true, workerData: new Uint16Array(bytes.buffer, bytes.byteOffset, 8 * MIB) },
    )
    expect(await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject))).toBe(4242)
    await worker.terminate()
    expect(bytes[2 * 4242]).toBe((4242 & 255) + 1)
    const again = await openSafetensors(join(folder, "model.safetensors"))
    expect((await again.read("b"))[2 * 4242]).toBe(4242 & 255)
    await again.close()
  },
)
