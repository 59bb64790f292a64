import { Recipe } from "@lamina/protocol/recipe"

import { selectingOf } from "./selecting.js"

const drawing = (cohort: object, changes: Partial<Parameters<typeof selectingOf>[0]> = {}) => ({
  ...{ round: 2, patienceMs: 5_000, presenceIsTold: false, busy: 0, comingBackMs: 7_000, ...changes },
  cohort: Recipe.parse({ name: "test", base: ".", rounds: 3, cohort }).cohort,
})

test("the first round waits for everybody as long as it takes, later ones for their quorum, rounded up", () => {
  const cohort = { clients: 5, quorum: 0.5 }
  expect(selectingOf(drawing(cohort, { round: 1 }))).toMatchObject({ target: 5, minimum: 5, patienceMs: Infinity })
  // half of 5 is 2.5
  expect(selectingOf(drawing(cohort))).toMatchObject({ target: 5, minimum: 3, patienceMs: 5_000 })
})

test("where it is told who is there, the first round waits for no more than its quorum", () => {
  const drawn = drawing({ clients: 5, quorum: 0.5 }, { round: 1, presenceIsTold: true })
  expect(selectingOf(drawn)).toMatchObject({ minimum: 3, patienceMs: 5_000 })
})

test("over-selection draws more than are wanted, and the first round does without them after its patience", () => {
  // 3 x 1.3 = 3.9
  const drawn = drawing({ clients: 3, overSelection: 1.3 }, { round: 1 })
  expect(selectingOf(drawn)).toMatchObject({ target: 4, minimum: 3, patienceMs: 5_000 })
})

test("a buffered round draws the idle: nobody is needed while some are busy, else enough to fill the buffer", () => {
  const cohort = { clients: 6, buffer: { size: 3 } }
  expect(selectingOf(drawing(cohort, { busy: 4 }))).toMatchObject({ target: 2, minimum: 0, patienceMs: 7_000 })
  expect(selectingOf(drawing(cohort, { busy: 8 }))).toMatchObject({ target: 0, minimum: 0 })
  expect(selectingOf(drawing(cohort))).toMatchObject({ target: 6, minimum: 3 })
  expect(selectingOf(drawing({ ...cohort, clients: 2 }))).toMatchObject({ target: 2, minimum: 2 })
  expect(selectingOf(drawing(cohort, { round: 1 }))).toMatchObject({ patienceMs: 5_000 })
})
