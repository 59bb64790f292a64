import { aggregateAdapters } from "./aggregate-adapters.js"
import { flora } from "./flora.js"
import { fedit } from "./fedit.js"
import { adapterOf, randomModule } from "./testing/cohorts.js"

const named = ["b", "a"].map((name, k) => ({
  ...{ name, weight: k + 1 },
  adapter: adapterOf(randomModule({ outFeatures: 3, inFeatures: 2, rank: 2 }, k)),
}))
const updates = named.map(({ name, ...rest }) => ({ clientId: name, ...rest }))

test("aggregateAdapters runs the strategy named, in the order given", () => {
  expect(aggregateAdapters("flora", named)).toEqual(flora.aggregate({ updates, order: ["b", "a"] }))
  expect(aggregateAdapters("flora", named).adapter).not.toEqual(flora.aggregate({ updates }).adapter)
  expect(aggregateAdapters("fedit", named)).toEqual(fedit.aggregate({ updates, order: ["b", "a"] }))
})

test("two adapters of one name are refused", () => {
  const twice = [named[0]!, { ...named[1]!, name: "b" }]
  expect(() => aggregateAdapters("flora", twice)).toThrow(expect.objectContaining({ code: "UPLOAD_CONFLICT" }))
})
