import { spawnSync } from "node:child_process"
import { createRequire } from "node:module"
import { Worker } from "node:worker_threads"

import * as tf from "@tensorflow/tfjs-core"

import { initKernels } from "../init.js"
import { runOne } from "../ops/run-kernel.js"
import { addon, nativeAvailable, nativeProblem } from "./addon.js"
import type { NativeBackend } from "./backend.js"
import { BufferPool } from "./buffer-pool.js"
import { describeKernels } from "./describe.js"

beforeEach(() => initKernels({ backend: "native" }))

const backend = (): NativeBackend => tf.backend() as NativeBackend
const LENGTH = 40_000
const sum = (left: tf.Tensor, right: tf.Tensor): tf.Tensor => tf.add(left, right)
/** Bytes of one output of LENGTH floats, rounded up as the pool does: steps of 2^14 = 2^(18 - 4). */
const BYTES = 163_840

test("the addon loads here", () => {
  expect([nativeAvailable(), nativeProblem()]).toEqual([true, undefined])
})

test("an output's memory is used again once its last reference is disposed", () => {
  const x = tf.ones([LENGTH])
  const y = sum(x, x)
  const alias = tf.reshape(y, [LENGTH / 2, 2])
  const before = backend().idleBytes
  y.dispose()
  expect(backend().idleBytes).toBe(before)
  alias.dispose()
  expect(backend().idleBytes).toBe(before + BYTES)
  const again = sum(x, x)
  expect(backend().idleBytes).toBe(before)
  again.dispose()
})

test("memory that a caller has read is never written again", () => {
  const x = tf.ones([LENGTH])
  const y = sum(x, x)
  const values = y.dataSync()
  const before = backend().idleBytes
  y.dispose()
  expect(backend().idleBytes).toBe(before)
  const z = sum(sum(x, x), x)
  expect(values[7]).toBe(2)
  expect(z.dataSync()[7]).toBe(3)
})

test("a slice keeps its values after its parent is disposed and the pool is used", () => {
  const x = tf.ones([LENGTH])
  const y = sum(x, x)
  const slice = tf.slice(y, [10], [5])
  y.dispose()
  for (let i = 0; i < 3; i++) sum(sum(x, x), x).dispose()
  expect(Array.from(slice.dataSync())).toEqual([2, 2, 2, 2, 2])
})

test("inputs made from a caller's array are neither copied nor recycled", () => {
  const array = new Float32Array(LENGTH)
  const x = tf.tensor1d(array)
  array[3] = 5
  const y = sum(x, x)
  const before = backend().idleBytes
  x.dispose()
  expect(backend().idleBytes).toBe(before)
  expect(y.dataSync()[3]).toBe(10)
})

test("a tensor of backend cpu is moved when a native kernel asks for it", async () => {
  await initKernels({ backend: "cpu" })
  const x = tf.tensor2d([3, 4], [1, 2])
  await initKernels({ backend: "native" })
  const y = runOne("RmsNorm", { x }, { weight: Float32Array.of(1, 1), eps: 0 })
  // mean square 12.5
  expect(y.dataSync()[0]).toBeCloseTo(3 / Math.sqrt(12.5), 6)
})

test("a step that makes and disposes the same tensors leaves none behind", () => {
  const x = tf.ones([64, 32])
  const step = (): void => {
    const loss = tf.tidy(() => tf.sum(tf.add(tf.add(x, x), x)))
    expect(loss.dataSync()[0]).toBe(3 * 64 * 32)
    loss.dispose()
  }
  step()
  const before = tf.memory().numTensors
  for (let i = 0; i < 5; i++) step()
  expect(tf.memory().numTensors).toBe(before)
  expect(backend().numDataIds()).toBeLessThan(100)
})

test("idle and used memory together stay within the most that was in use", () => {
  const pool = new BufferPool({ slackBytes: 0 })
  // three at once, 24 MiB
  const first = [1, 2, 3].map(() => pool.take(2 ** 21))
  for (const values of first) pool.give(values)
  expect(pool.idleBytes).toBe(3 * 2 ** 23)
  // another size: room for it is made
  const other = pool.take(2 ** 20)
  expect(pool.idleBytes).toBe(2 * 2 ** 23)
  pool.give(other)
  expect(pool.idleBytes).toBe(2 * 2 ** 23 + 2 ** 22)
  // what is lost is in use no more, and leaves its room to idle memory
  const [lost, kept] = [pool.take(2 ** 21), pool.take(2 ** 21)]
  pool.lose(lost)
  pool.give(kept)
  expect(pool.idleBytes).toBe(2 ** 23 + 2 ** 22)
})

test("integers and strings are refused where floats are needed", () => {
  const x = tf.tensor2d([1, 2], [1, 2], "int32")
  expect(() => runOne("RmsNorm", { x }, { weight: Float32Array.of(1, 1), eps: 0 })).toThrow(
    expect.objectContaining({ code: "KERNEL_SHAPE" }),
  )
})

test("many worker threads load the addon at once and share its threads", async () => {
  const path = createRequire(import.meta.url).resolve("../../build/Release/lamina_kernels.node")
  const code = `
    const { parentPort, workerData } = require("node:worker_threads")
    const addon = require(workerData.path)
    addon.setThreads(1 + workerData.index % 3)
    const x = new Float32Array(100000).fill(workerData.index), y = new Float32Array(100000)
    let wrong = 0
    for (let i = 0; i < 50; i++) {
      y.fill(-1)
      wrong += addon.add(x, x, y)
      wrong += y.reduce((count, value) => count + (value !== 2 * workerData.index), 0)
    }
    parentPort.postMessage(wrong)`
  const workers = Array.from({ length: 6 }, (_, index) => new Worker(code, { eval: true, workerData: { path, index } }))
  const wrong = await Promise.all(
    workers.map(
      (worker) => new Promise<number>((resolve, reject) => worker.once("message", resolve).once("error", reject)),
    ),
  )
  expect(wrong).toEqual([0, 0, 0, 0, 0, 0])
  await Promise.all(workers.map((worker) => worker.terminate()))
})

test("LAMINA_ISA names the instruction set of a process, and an unknown name is an error, not a fallback", () => {
  const path = createRequire(import.meta.url).resolve("../../build/Release/lamina_kernels.node")
  const started = (isa: string): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, ["-p", "require(process.argv[1]).isa()", path], {
      encoding: "utf8",
      env: { ...process.env, LAMINA_ISA: isa },
    })
  for (const isa of addon().isas()) expect(started(isa).stdout.trim()).toBe(isa)
  const refused = started("abacus")
  expect(refused.status).toBe(1)
  expect(refused.stderr).toContain("LAMINA_ISA=abacus: this machine has")
})

test("describeKernels names the instruction set and measures a peak", () => {
  const description = describeKernels()
  expect(description).toMatchObject({ native: true })
  if (!description.native) throw new Error("unreachable")
  // Any processor of this century does more than 1 and less than 10^6 GFLOP/s.
  expect(description.peak.f32).toBeGreaterThan(1)
  expect(description.peak.f32).toBeLessThan(1e6)
})
