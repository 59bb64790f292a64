import { dequantize, initKernels } from "@lamina/kernels"
import type { FrozenWeight } from "@lamina/kernels"
import { scaleOf } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"

import { smallData, smallJob } from "../train/testing/small-job.js"
import { trainOn } from "../train/train.js"
import { uniformArray } from "./counter-random.js"
import { initialAdapter } from "./lora.js"
import { mergeAdapter } from "./merge-adapter.js"
import { allModules, randomBase } from "./testing/random-base.js"

beforeAll(() => initKernels({ backend: "cpu" }))

const SHAPE = { layers: 1, hidden: 16, heads: 2, kvHeads: 1, ffn: 16 }

function adapterFor(base: ReturnType<typeof randomBase>, only = /_proj$/): Adapter {
  const modules = allModules(base, { rank: 3, alpha: 6 }).filter(({ name }) => only.test(name))
  const adapter = initialAdapter(base, { modules, scaling: "lora", seed: 2 })
  for (const [i, { b }] of adapter.modules.entries())
    b.set(uniformArray([3, i], { stream: 0, length: b.length, bound: 0.2 }))
  return adapter
}

test.each(["f32", "bf16"] as const)("W + s·B·A, rounded once to %s, beside a base that stays as it is", (format) => {
  const base = randomBase({ seed: 1, format, config: SHAPE })
  const adapter = adapterFor(base, /q_proj/)
  const [module] = adapter.modules as [AdapterModule]
  const weight = base.linears[module.name] as FrozenWeight
  const before = dequantize(weight)
  const merged = mergeAdapter(base, adapter)
  const after = dequantize(merged.linears[module.name] as FrozenWeight)
  const { rank, inFeatures, a, b } = module
  let furthest = 0
  for (const [i, value] of after.entries()) {
    const [row, column] = [Math.floor(i / inFeatures), i % inFeatures]
    let delta = 0
    for (let r = 0; r < rank; r++) delta += scaleOf(module) * b[row * rank + r]! * a[r * inFeatures + column]!
    // |W + sBA| < 2: half a unit of bf16's 8 or f32's 24 bits, and five f32 roundings of the term
    const bound = 2 ** (format === "bf16" ? -8 : -24) + 5 * 2 ** -24
    expect(Math.abs(value - (before[i]! + delta))).toBeLessThan(bound)
    furthest = Math.max(furthest, Math.abs(delta))
  }
  expect(furthest).toBeGreaterThan(0.1)
  expect(dequantize(weight)).toEqual(before)
  for (const [name, linear] of Object.entries(base.linears))
    if (name !== module.name) expect(merged.linears[name]).toBe(linear)
})

test("nothing is merged into a quantized linear", () => {
  const base = randomBase({ seed: 1, format: "q8", config: SHAPE })
  expect(() => mergeAdapter(base, adapterFor(base))).toThrow(
    expect.objectContaining({ code: "PLAN_UNSUPPORTED", message: expect.stringContaining("got q8") }),
  )
})

test("training on the merged base is training with the global adapter beside it", async () => {
  const base = randomBase({ seed: 1, format: "f32", config: SHAPE })
  const globalAdapter = adapterFor(base)
  const lossOf = async (mergeGlobal: boolean, adapter: Adapter | undefined): Promise<number> => {
    const job = { ...smallJob({ mergeGlobal, dropout: 0, steps: 3 }), base, ...(adapter && { globalAdapter: adapter }) }
    return (await trainOn(job, smallData(5))).lastLoss
  }
  const beside = await lossOf(false, globalAdapter)
  // the same sums in another order, f32, behind three steps of AdamW
  expect(await lossOf(true, globalAdapter)).toBeCloseTo(beside, 4)
  expect(Math.abs((await lossOf(false, undefined)) - beside)).toBeGreaterThan(0.01)
})
