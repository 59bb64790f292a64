import fc from "fast-check"

import type { ClientPlan, DeviceProfile, PlanningTerms } from "./api.js"
import { gainOf } from "./gain.js"
import { memoryBytes } from "./memory-model.js"
import { planClient, planWithin } from "./plan-client.js"
import { estimateOf, fits, problemOf } from "./problem.js"
import { SAME_VALUE } from "./search.js"
import { llamaShape, SHAPE_135M, TERMS, UNLIMITED, uniformScores } from "./testing/shapes.js"

const MIB = 2 ** 20

/** Two blocks of three different sizes of linears, small enough to look at every plan there is. */
const TINY = llamaShape({
  ...{ hidden: 64, layers: 2, heads: 4, kvHeads: 2, headDim: 16, ffn: 160, vocabulary: 500 },
  bytes: { f32: 4 * MIB, bf16: 2 * MIB, q8: MIB, q4: MIB / 2, nf4: MIB / 2 },
})
const FEW = { ...TINY, modules: TINY.modules.filter(({ name }) => /[qv]_proj|down_proj/.test(name)) }
const FEW_TERMS: PlanningTerms = { ...TERMS, ranks: [4, 16], steps: 4, batch: 2, context: 32, deadlineMs: 10_000 }

/** Values closer than this are equal to the planner; twice, for solver and search. */
const SAME = 2 * SAME_VALUE

const scoresOf = (values: readonly number[]): ReadonlyMap<string, number> =>
  new Map(FEW.modules.map(({ name }, i) => [name, values[i] as number]))
const scoreArbitrary = fc
  .array(fc.double({ min: 0.01, max: 1, noNaN: true }), { minLength: 6, maxLength: 6 })
  .map(scoresOf)

/** From a plan's least need to all a plan could want: base, process and adapters of FEW lie around 142 MiB. */
const profileArbitrary: fc.Arbitrary<DeviceProfile> = fc.record({
  memoryBytes: fc.oneof(fc.constant(0), fc.integer({ min: 148_650_000, max: 150_300_000 })),
  tokensPerSecond: fc.oneof(fc.constant(0), fc.integer({ min: 10, max: 60 })),
  uploadBytesPerSecond: fc.oneof(fc.constant(0), fc.integer({ min: 2_000, max: 50_000 })),
  downloadBytesPerSecond: fc.constant(5_000_000),
  uploadBytesMax: fc.oneof(fc.constant(0), fc.integer({ min: 5_000, max: 80_000 })),
  rankMax: fc.constantFrom(0, 4, 10, 16),
  precision: fc.constantFrom("" as const, "q8" as const, "q4" as const),
  timeCorrection: fc.double({ min: 0.5, max: 2, noNaN: true }),
})

const SOLVER = { nodesMax: 10_000, secondsMax: 10 }
const orNothing = async (plan: Promise<ClientPlan>): Promise<ClientPlan | undefined> => {
  try {
    return await plan
  } catch (error) {
    expect(error).toMatchObject({ code: "PLAN_INFEASIBLE" })
    return undefined
  }
}
const planFew = (
  profile: DeviceProfile,
  scores: ReadonlyMap<string, number>,
  terms = FEW_TERMS,
): Promise<ClientPlan | undefined> => orNothing(planWithin(SOLVER, { base: FEW, profile, scores, terms }))

/** Numbers in A and B of a plan, from the base's shapes. */
const parametersOf = (plan: ClientPlan): number =>
  plan.modules.reduce((sum, { name, rank }) => {
    const { outFeatures, inFeatures } = FEW.modules.find((module) => module.name === name)!
    return sum + rank * (outFeatures + inFeatures)
  }, 0)
const layerOf = (name: string): number => Number(name.split(".")[2])

test("uniform scores and enough of everything: every module at the largest rank, in comfort", async () => {
  const plan = await planClient(SHAPE_135M, UNLIMITED, uniformScores(SHAPE_135M), TERMS)
  expect(plan.modules).toEqual(SHAPE_135M.modules.map(({ name }) => ({ name, rank: 64 })))
  expect(plan).toMatchObject({ precision: "q8", batch: 4, accumulate: 1, steps: 20, gradientCheckpointing: false })
  expect(plan).toMatchObject({ value: 1, binding: [], solver: "highs" })
})

test("every plan keeps to every limit by its own estimate, and the estimate is that of its modules", async () => {
  let planned = 0
  await fc.assert(
    fc.asyncProperty(profileArbitrary, scoreArbitrary, async (profile, scores) => {
      const plan = await planFew(profile, scores)
      if (plan === undefined) return
      planned++
      const { estimate, batch, accumulate, precision, gradientCheckpointing, modules } = plan
      if (profile.memoryBytes > 0) expect(estimate.memoryBytes).toBeLessThanOrEqual(profile.memoryBytes)
      if (profile.uploadBytesMax > 0) expect(estimate.uploadBytes).toBeLessThanOrEqual(profile.uploadBytesMax)
      expect(estimate.downloadMs + estimate.trainMs + estimate.uploadMs).toBeLessThanOrEqual(FEW_TERMS.deadlineMs)
      const rankMax = profile.rankMax || 16
      for (const { rank } of modules) expect(rank).toBeLessThanOrEqual(rankMax)
      expect(batch * accumulate).toBe(FEW_TERMS.batch)
      if (profile.precision !== "") expect(precision).toBe(profile.precision)
      const lowestLayer = Math.min(...modules.map(({ name }) => layerOf(name)))
      const use = { precision, batch, gradientCheckpointing, context: 32, lowestLayer, parameters: parametersOf(plan) }
      expect(estimate.memoryBytes).toBe(memoryBytes(FEW, { ...use, frozenParameters: 0 }))
    }),
    { seed: 1, numRuns: 50 },
  )
  expect(planned).toBeGreaterThan(25)
})

/** The most a plan can be worth, by looking at every one: 3^6 choices of ranks x steps, saving memory in every way. */
function bestByForce(profile: DeviceProfile, scores: ReadonlyMap<string, number>): number {
  const problem = problemOf(FEW, profile, scores, FEW_TERMS)
  const total = [...scores.values()].reduce((sum, score) => sum + score, 0) * gainOf(16)
  let best = 0
  const options = [0, ...problem.ranks]
  for (let code = 1; code < options.length ** FEW.modules.length; code++) {
    const ranks = FEW.modules.map((_, i) => options[Math.floor(code / options.length ** i) % options.length] as number)
    const trained = FEW.modules.map((module, i) => ({ ...module, rank: ranks[i] as number })).filter((m) => m.rank > 0)
    const worth = trained.reduce((sum, { name, rank }) => sum + scores.get(name)! * gainOf(rank), 0) / total
    if (worth <= best) continue
    const parameters = trained.reduce((sum, { rank, ...m }) => sum + rank * (m.outFeatures + m.inFeatures), 0)
    const lowestLayer = Math.min(...trained.map(({ name }) => layerOf(name)))
    for (const steps of [4, 3, 2, 1])
      for (const gradientCheckpointing of [false, true])
        for (const precision of ["q8", "q4"] as const) {
          if (profile.precision !== "" && profile.precision !== precision) continue
          const setting = { precision, gradientCheckpointing, steps, batch: 1, lowestLayer }
          if (!fits(problem, estimateOf(problem, setting, parameters))) continue
          best = Math.max(best, (worth * steps) / 4)
        }
  }
  return best
}

test("a plan is worth what the best of all plans is, and there is one where any fits", async () => {
  let planned = 0
  await fc.assert(
    fc.asyncProperty(profileArbitrary, scoreArbitrary, async (profile, scores) => {
      const plan = await planFew(profile, scores)
      planned += plan === undefined ? 0 : 1
      expect(Math.abs((plan?.value ?? 0) - bestByForce(profile, scores))).toBeLessThan(SAME)
    }),
    { seed: 2, numRuns: 40 },
  )
  expect(planned).toBeGreaterThan(20)
})

test("a looser limit never makes a plan worth less, and binding names those that make it worth more", async () => {
  let bound = 0
  await fc.assert(
    fc.asyncProperty(profileArbitrary, scoreArbitrary, async (profile, scores) => {
      const plan = await planFew(profile, scores)
      if (plan === undefined) return
      const looser = {
        memory: await planFew({ ...profile, memoryBytes: 1.1 * profile.memoryBytes }, scores),
        time: await planFew(profile, scores, { ...FEW_TERMS, deadlineMs: 1.1 * FEW_TERMS.deadlineMs }),
        upload: await planFew({ ...profile, uploadBytesMax: 1.1 * profile.uploadBytesMax }, scores),
        rank: await planFew({ ...profile, rankMax: profile.rankMax === 0 ? 0 : 16 }, scores),
      }
      for (const [limit, { value }] of Object.entries(looser) as [keyof typeof looser, ClientPlan][]) {
        expect(value).toBeGreaterThan(plan.value - SAME)
        if (value > plan.value + SAME) expect(plan.binding).toContain(limit)
        if (value < plan.value + SAME / 4) expect(plan.binding).not.toContain(limit)
      }
      bound += plan.binding.length
    }),
    { seed: 3, numRuns: 30 },
  )
  expect(bound).toBeGreaterThan(10)
})

test("the solver never finds less than greedy, sometimes more, and a solver without time says greedy", async () => {
  let better = 0
  let greedy = 0
  await fc.assert(
    fc.asyncProperty(profileArbitrary, scoreArbitrary, async (profile, scores) => {
      const plan = await planFew(profile, scores)
      if (plan === undefined) return
      const input = { base: FEW, profile, scores, terms: FEW_TERMS }
      const hasty = await planWithin({ nodesMax: 0, secondsMax: 0 }, input)
      expect(plan.value).toBeGreaterThan(hasty.value - SAME)
      expect(plan.solver).toBe("highs")
      if (plan.value > hasty.value + SAME) expect(hasty.solver).toBe("greedy")
      better += plan.value > hasty.value + SAME ? 1 : 0
      greedy += hasty.solver === "greedy" ? 1 : 0
    }),
    { seed: 4, numRuns: 50 },
  )
  expect(better).toBeGreaterThan(1)
  expect(greedy).toBeGreaterThanOrEqual(better)
})

test("the same arguments give the same plan", async () => {
  const scores = new Map(SHAPE_135M.modules.map(({ name }, i) => [name, 1 + ((i * 7919) % 101)]))
  const profile = { ...UNLIMITED, memoryBytes: 450 * MIB, tokensPerSecond: 120, uploadBytesPerSecond: 1e5 }
  const [first, second] = [0, 1].map(() => planClient(SHAPE_135M, profile, scores, TERMS))
  expect(await first).toEqual(await second)
})

test("memory is saved by checkpointing and small batches before modules are left out", async () => {
  const scores = uniformScores(SHAPE_135M)
  const full = await planClient(SHAPE_135M, { ...UNLIMITED, rankMax: 4, memoryBytes: 2_000 * MIB }, scores, TERMS)
  expect(full).toMatchObject({ batch: 4, gradientCheckpointing: false, precision: "q8" })
  const less = await planClient(SHAPE_135M, { ...UNLIMITED, rankMax: 4, memoryBytes: 650 * MIB }, scores, TERMS)
  expect(less).toMatchObject({ batch: 1, accumulate: 4, gradientCheckpointing: false, value: full.value })
  const least = await planClient(SHAPE_135M, { ...UNLIMITED, rankMax: 4, memoryBytes: 350 * MIB }, scores, TERMS)
  expect(least).toMatchObject({ gradientCheckpointing: true, precision: "q4", value: full.value })
})

test("rows of a step stay the same when the recipe already accumulates", async () => {
  const terms = { ...TERMS, accumulate: 3 }
  const profile = { ...UNLIMITED, memoryBytes: 700 * MIB, rankMax: 4 }
  const { batch, accumulate } = await planClient(SHAPE_135M, profile, uniformScores(SHAPE_135M), terms)
  expect(batch).toBeLessThan(4)
  expect(batch * accumulate).toBe(12)
})

test("where time is short, important modules of upper blocks come first", async () => {
  // only the upper half matters: no plan has any use for the lower half
  const scores = new Map(SHAPE_135M.modules.map(({ name }) => [name, layerOf(name) < 15 ? 1e-6 : 1]))
  const profile = { ...UNLIMITED, tokensPerSecond: 60 }
  const plan = await planClient(SHAPE_135M, profile, scores, TERMS)
  expect(Math.min(...plan.modules.map(({ name }) => layerOf(name)))).toBe(15)
  expect(plan.binding).toEqual(["time"])
})

test.each([
  ["memory", { memoryBytes: 100 * MIB }, {}, /memory: 104857600 bytes, needed \d{9}\b/],
  ["time", { tokensPerSecond: 1 }, {}, /time: 600000 ms, needed \d+/],
  ["upload", { uploadBytesMax: 1_000 }, {}, /upload: 1000 bytes, needed \d+/],
  ["rank", { rankMax: 3 }, {}, /rank: expected at least 4, got at most 3/],
  ["precision", { precision: "nf4" as const }, {}, /precision: expected one of q8, q4, got nf4/],
  ["memory and upload", { memoryBytes: 1, uploadBytesMax: 1 }, {}, /memory: 1 bytes, .*; upload: 1 bytes/],
])("too little %s is PLAN_INFEASIBLE and says what is needed", async (_, profile, terms, message) => {
  const scores = uniformScores(SHAPE_135M)
  await expect(
    planClient(SHAPE_135M, { ...UNLIMITED, ...profile }, scores, { ...TERMS, ...terms }),
  ).rejects.toMatchObject({ code: "PLAN_INFEASIBLE", message: expect.stringMatching(message) })
})

test("what the smallest plan is said to need is enough, and a byte less is not", async () => {
  const scores = uniformScores(SHAPE_135M)
  const refused = planClient(SHAPE_135M, { ...UNLIMITED, memoryBytes: 1 }, scores, TERMS)
  const message = await refused.then(() => "", String)
  const needed = Number(/needed (\d+)/.exec(message)?.[1])
  const plan = await planClient(SHAPE_135M, { ...UNLIMITED, memoryBytes: needed }, scores, TERMS)
  expect(plan.estimate.memoryBytes).toBe(needed)
  await expect(planClient(SHAPE_135M, { ...UNLIMITED, memoryBytes: needed - 1 }, scores, TERMS)).rejects.toMatchObject({
    code: "PLAN_INFEASIBLE",
  })
})

test("limits that no plan keeps to all at once are told together", async () => {
  // memory in q4: base 84 MB, process 148 MB, working 58 MB and kept 7 MB for the upper module, 40 MB for the lower
  // with checkpointing; bytes: 4 x 4 x 768 + 2 kB for the lower module, 4 x 4 x 2112 for the upper one
  const [small, large] = ["model.layers.0.self_attn.k_proj", "model.layers.29.mlp.up_proj"]
  const scores = new Map([small, large].map((name) => [name, 1]))
  const profile = { ...UNLIMITED, memoryBytes: 310e6, uploadBytesMax: 20_000 }
  await expect(planClient(SHAPE_135M, profile, scores, TERMS)).rejects.toMatchObject({
    code: "PLAN_INFEASIBLE",
    message: expect.stringMatching(/none to all at once: memory: .*; upload: .*; time: /),
  })
})

test.each([
  ["a negative score", new Map([["model.layers.0.mlp.up_proj", -1]]), TERMS, "SCORES_NOT_FINITE"],
  ["no score above 0", new Map(), TERMS, "PLAN_INFEASIBLE"],
  ["a rank of 0", uniformScores(SHAPE_135M), { ...TERMS, ranks: [0, 4] }, "RECIPE_INVALID"],
  ["half a step", uniformScores(SHAPE_135M), { ...TERMS, steps: 0.5 }, "RECIPE_INVALID"],
])("%s is refused", async (_, scores, terms, code) => {
  await expect(planClient(SHAPE_135M, UNLIMITED, scores, terms)).rejects.toMatchObject({ code })
})

test("a plan that is worth next to nothing is better than none", async () => {
  const slow = { ...UNLIMITED, tokensPerSecond: 3 }
  const long = { ...FEW_TERMS, steps: 150_000, deadlineMs: 600_000 }
  const plan = await planClient(FEW, slow, scoresOf([1, 1, 1, 1, 1, 1]), long)
  expect(plan.value).toBeGreaterThan(0)
  expect(plan.value).toBeLessThan(SAME_VALUE)
  expect(plan.steps).toBeLessThan(100)
})
