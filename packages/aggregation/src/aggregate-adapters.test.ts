import { aggregateAdapters } from "./aggregate-adapters.js"
import { flora } from "./flora.js"
import { fedit } from "./fedit.js"
import { adapterOf, randomModule } from "./testing/cohorts.js"
import { runRound } from "./testing/rounds.js"

const named = ["b", "a"].map((name, k) => ({
  ...{ name, weight: k + 1 },
  adapter: adapterOf(randomModule({ outFeatures: 30, inFeatures: 20, rank: 2 }, k)),
}))
const updates = named.map(({ name, ...rest }) => ({ clientId: name, ...rest }))

test("aggregateAdapters runs the strategy named, in the order given", () => {
  expect(aggregateAdapters("flora", named)).toEqual(runRound(flora, { updates, order: ["b", "a"] }))
  expect(aggregateAdapters("flora", named).global).not.toEqual(runRound(flora, { updates }).global)
  expect(aggregateAdapters("fedit", named)).toEqual(runRound(fedit, { updates, order: ["b", "a"] }))
})

test("two adapters of one name are refused", () => {
  const twice = [named[0]!, { ...named[1]!, name: "b" }]
  expect(() => aggregateAdapters("flora", twice)).toThrow(expect.objectContaining({ code: "UPLOAD_CONFLICT" }))
})
