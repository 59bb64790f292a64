import { memoryBytes, reportCapability } from "./capability.js"

test("memory is the container's limit where there is one, else the machine's", () => {
  expect(memoryBytes(512, 1_024)).toBe(512)
  expect(memoryBytes(0, 1_024)).toBe(1_024)
  expect(memoryBytes(undefined, 1_024)).toBe(1_024)
  expect(memoryBytes(2 ** 63, 1_024)).toBe(1_024)
})

test("the report carries what the trainer measured and what the client wishes", async () => {
  const trainer = {
    calibrate: async () => ({ kernels: "native avx2", tokensPerSecond: 123.5 }),
    train: () => Promise.reject(new Error("not asked to")),
    close: async () => undefined,
  }
  const report = await reportCapability(trainer, { rankMax: 8, precision: "q4", examples: 3 })
  expect(report).toMatchObject({
    kernels: "native avx2",
    tokensPerSecond: 123.5,
    rankMax: 8,
    precision: "q4",
    examples: 3,
  })
  expect(report.node).toBe(process.versions.node)
  expect(report.cores).toBeGreaterThanOrEqual(1)
})
