import * as tf from "@tensorflow/tfjs-core"

import { initKernels } from "../init.js"
import type { KernelSetup } from "../init.js"
import { addon } from "../native/addon.js"

/** Runs `body` for every instruction set of this machine, on backend `native`; what was chosen before is restored. */
export async function eachIsa(body: (isa: string) => void | Promise<void>): Promise<void> {
  const native = addon()
  const before = native.isa()
  await initKernels({ backend: "native" })
  for (const isa of native.isas()) {
    native.setIsa(isa)
    await body(isa)
  }
  native.setIsa(before)
}

/** Values of tensors made by `body` on a backend, copied; everything it made is disposed. */
export async function valuesOn(setup: KernelSetup, body: () => tf.Tensor | tf.Tensor[]): Promise<Float32Array[]> {
  await initKernels(setup)
  let values: Float32Array[] = []
  // Not returned through tidy: it searches results for tensors, element by element.
  tf.tidy(() => {
    values = [body()].flat().map((tensor) => (tensor.dataSync() as Float32Array).slice())
  })
  return values
}

/** Throws unless `body` gives the same bits on 1, 2 and 5 threads, on every instruction set. */
export async function expectSameOnThreads(body: () => tf.Tensor[]): Promise<void> {
  await eachIsa(async () => {
    const [one, two, five] = [
      await valuesOn({ backend: "native", threads: 1 }, body),
      await valuesOn({ backend: "native", threads: 2 }, body),
      await valuesOn({ backend: "native", threads: 5 }, body),
    ]
    expectSameBits(one, two)
    expectSameBits(one, five)
  })
}

/** Throws unless two lists of arrays hold the same bits. */
export function expectSameBits(left: readonly Float32Array[], right: readonly Float32Array[]): void {
  for (const [index, array] of left.entries()) {
    const [a, b] = [array, right[index]!].map(
      (values) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    )
    if (Buffer.compare(a!, b!) === 0) continue
    const at = array.findIndex((value, i) => !Object.is(value, right[index]![i]))
    throw new Error(`array ${index} differs at element ${at}: ${array[at]} and ${right[index]![at]}`)
  }
}

export const CPU: KernelSetup = { backend: "cpu" }
export const NATIVE: KernelSetup = { backend: "native" }
