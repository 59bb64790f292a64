import { lacking } from "./waiting.js"

test("a round lacks clients up to its target, and once patience is over up to its minimum", () => {
  const patient = { phase: "selecting", target: 3, minimum: 2, patienceMs: 100 } as const
  const all = { ...patient, minimum: 3, patienceMs: Infinity }
  const at = (here: number, nowMs = 0) => ({ round: 4, here, nowMs })
  expect(lacking(all, at(2))).toBe("round 4 starts when 3 clients are there, 2 are")
  expect(lacking({ ...all, target: 1, minimum: 1 }, at(0))).toBe("round 4 starts when 1 client is there, 0 are")
  expect(lacking(patient, at(1))).toBe("round 4 starts when 3 clients are there, or after a while with 2; 1 is")
  expect(lacking(patient, at(1, 100))).toBe("round 4 starts when 2 clients are there, 1 is")
})
