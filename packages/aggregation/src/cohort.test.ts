import type { Update } from "@lamina/protocol"

import { moduleCohorts } from "./cohort.js"
import { adapterOf, randomModule } from "./testing/cohorts.js"

const size = { outFeatures: 3, inFeatures: 2, rank: 2 }
const update = (clientId: string, weight: number, ...names: string[]): Update => ({
  ...{ clientId, weight },
  adapter: adapterOf(...names.map((name) => randomModule({ ...size, name }, 1))),
})

test("shares are over the whole cohort, also for a module some lack", () => {
  const cohorts = moduleCohorts({ updates: [update("b", 1, "v", "q"), update("a", 3, "q")] })
  expect(
    cohorts.map(({ name, contributions }) => [name, contributions.map(({ clientId, share }) => [clientId, share])]),
  ).toEqual([
    [
      "q",
      [
        ["a", 0.75],
        ["b", 0.25],
      ],
    ],
    ["v", [["b", 0.25]]],
  ])
  expect(cohorts.map(({ clients }) => clients)).toEqual([
    ["a", "b"],
    ["a", "b"],
  ])
})

test.each<[string, Update[], string[] | undefined]>([
  ["ROUND_EMPTY", [], undefined],
  ["UPLOAD_CONFLICT", [update("a", 1, "q"), update("a", 1, "q")], undefined],
  ["UPLOAD_CONFLICT", [update("a", 1, "q"), update("b", 1, "q")], ["a"]],
  ["UPLOAD_CONFLICT", [update("a", 1, "q"), update("b", 1, "q")], ["a", "a"]],
  ["UPLOAD_CONFLICT", [update("a", 1, "q"), update("b", 1, "q")], ["a", "c"]],
  ["UPDATE_WEIGHT", [update("a", -1, "q"), update("b", 2, "q")], undefined],
  ["UPDATE_WEIGHT", [update("a", NaN, "q")], undefined],
  ["UPDATE_WEIGHT", [update("a", Infinity, "q")], undefined],
  ["UPDATE_WEIGHT", [update("a", 0, "q"), update("b", 0, "q")], undefined],
  ["UPDATE_MODULE", [update("a", 1, "q", "q")], undefined],
  [
    "UPDATE_SHAPE",
    [
      update("a", 1, "q"),
      { ...update("b", 1), adapter: adapterOf(randomModule({ ...size, name: "q", inFeatures: 4 }, 1)) },
    ],
    undefined,
  ],
  [
    "UPDATE_SHAPE",
    [{ ...update("a", 1), adapter: adapterOf({ ...randomModule(size, 1), a: new Float32Array(3) }) }],
    undefined,
  ],
  ["UPDATE_SHAPE", [{ ...update("a", 1), adapter: adapterOf({ ...randomModule(size, 1), rank: 0 }) }], undefined],
  [
    "UPDATE_NOT_FINITE",
    [{ ...update("a", 1), adapter: adapterOf({ ...randomModule(size, 1), b: new Float32Array(6).fill(NaN) }) }],
    undefined,
  ],
])("a cohort is refused with %s (%#)", (code, updates, order) => {
  expect(() => moduleCohorts({ updates, order })).toThrow(expect.objectContaining({ code }))
})
