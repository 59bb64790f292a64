import { initialA } from "./initial-factors.js"

test.each([4, 7])("a smaller rank is a prefix of a larger one, with %i columns", (inFeatures) => {
  const of = (rank: number): number[] => [...initialA({ seed: 3, name: "q_proj", rank, inFeatures })]
  const eight = of(8)
  expect(new Set(eight).size).toBeGreaterThan(8 * inFeatures - 2) // 24 random bits each
  // an odd number of columns begins every second row in the middle of a counter's two words
  for (const rank of [1, 2, 3, 7]) expect(of(rank)).toEqual(eight.slice(0, rank * inFeatures))
})

test("seed and name decide, each by itself", () => {
  const of = (seed: number, name: string): string => initialA({ seed, name, rank: 2, inFeatures: 4 }).join()
  expect(of(3, "q_proj")).toBe(of(3, "q_proj"))
  expect(new Set([of(3, "q_proj"), of(4, "q_proj"), of(3, "k_proj")]).size).toBe(3)
})
