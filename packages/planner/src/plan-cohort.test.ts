import { planCohort } from "./plan-cohort.js"
import { planClient } from "./plan-client.js"
import { SHAPE_135M, TERMS, UNLIMITED, uniformScores } from "./testing/shapes.js"

const scores = uniformScores(SHAPE_135M)

test("equal profiles share one plan, and one that fits nothing is told apart from the others", async () => {
  const small = { ...UNLIMITED, memoryBytes: 600 * 2 ** 20 }
  const tiny = { ...UNLIMITED, memoryBytes: 2 ** 20 }
  const cohort = await planCohort(SHAPE_135M, [small, tiny, { ...small }, UNLIMITED], scores, TERMS)
  expect(cohort.map(({ kind }) => kind)).toEqual(["planned", "infeasible", "planned", "planned"])
  expect(cohort[2]).toBe(cohort[0])
  expect(cohort[1]).toMatchObject({ error: { code: "PLAN_INFEASIBLE" } })
  expect(cohort[0]).toEqual({ kind: "planned", plan: await planClient(SHAPE_135M, small, scores, TERMS) })
  expect(cohort[3]).toEqual({ kind: "planned", plan: await planClient(SHAPE_135M, UNLIMITED, scores, TERMS) })
})

test("terms that make no sense are nobody's plan", async () => {
  await expect(planCohort(SHAPE_135M, [UNLIMITED], scores, { ...TERMS, ranks: [] })).rejects.toMatchObject({
    code: "RECIPE_INVALID",
  })
})
