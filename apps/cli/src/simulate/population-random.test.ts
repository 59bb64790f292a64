import { RandomStream } from "./population-random.js"

const draws = (count: number, draw: () => number): number[] => Array.from({ length: count }, draw)
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

test("a stream is its seed and name, and nothing else", () => {
  const [one, same, otherSeed, otherName] = [
    new RandomStream(7, "a"),
    new RandomStream(7, "a"),
    new RandomStream(8, "a"),
    new RandomStream(7, "b"),
  ].map((stream) => draws(4, () => stream.uniform()))
  expect(one).toEqual(same)
  for (const other of [otherSeed, otherName]) expect(other).not.toEqual(one)
})

test("uniform numbers have mean 1/2 and variance 1/12", () => {
  const stream = new RandomStream(1, "uniform")
  const values = draws(20_000, () => stream.uniform())
  // standard error of the mean sqrt(1/12/20000) = 0.0020, of the variance sqrt(1/180/20000) = 0.00053: five of each
  expect(Math.abs(mean(values) - 0.5)).toBeLessThan(0.01)
  expect(Math.abs(mean(values.map((value) => (value - 0.5) ** 2)) - 1 / 12)).toBeLessThan(0.0027)
})

test.each([0.3, 1, 5])("Dirichlet(%p) shares have the mean and variance of theory", (alpha) => {
  const stream = new RandomStream(2, `dirichlet ${alpha}`)
  const first = draws(20_000, () => stream.dirichlet(alpha, 4)[0] as number)
  // share 1 of 4 is Beta(a, 3a): mean 1/4, variance (1/4)(3/4)/(4a + 1)
  const variance = 3 / 16 / (4 * alpha + 1)
  expect(Math.abs(mean(first) - 0.25)).toBeLessThan(5 * Math.sqrt(variance / 20_000))
  // kurtosis of these is under 6, so the variance's standard error is under variance · sqrt(6/20000) = 1.7 %
  expect(Math.abs(mean(first.map((share) => (share - 0.25) ** 2)) / variance - 1)).toBeLessThan(0.09)
})

test("Dirichlet(1) of three has shares that are Beta(1, 2)", () => {
  const stream = new RandomStream(6, "beta")
  const shares = draws(30_000, () => stream.dirichlet(1, 3)[0] as number).sort((left, right) => left - right)
  // Kolmogorov and Smirnov: distance to 1 - (1 - x)² under 1.95 / sqrt(30000) = 0.0113 with probability 0.999
  const distances = shares.map((share, i) => Math.abs((i + 0.5) / shares.length - (1 - (1 - share) ** 2)))
  expect(distances.reduce((most, distance) => Math.max(most, distance), 0)).toBeLessThan(0.0113)
})

test("a tiny alpha gives one share nearly everything instead of 0/0", () => {
  const shares = new RandomStream(3, "tiny").dirichlet(1e-4, 10)
  expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 12)
  expect(Math.max(...shares)).toBeGreaterThan(0.99)
})

test("every order of three is as likely", () => {
  const stream = new RandomStream(4, "orders")
  const counts = new Map<string, number>()
  for (let i = 0; i < 6_000; i++) {
    const order = stream.shuffled([1, 2, 3]).join("")
    counts.set(order, (counts.get(order) ?? 0) + 1)
  }
  // chi² with 5 degrees of freedom is under 20.5 with probability 0.999
  const chi = [...counts.values()].reduce((sum, count) => sum + (count - 1_000) ** 2 / 1_000, 0)
  expect(counts.size).toBe(6)
  expect(chi).toBeLessThan(20.5)
})
