import fc from "fast-check"

import { Answers } from "./answers.js"

const ROOT = "0".repeat(64)
const answerOf = (k: number) => ({
  envelopeRoot: ROOT,
  verdict: k % 2 === 0 ? ("accepted" as const) : ("UPDATE_SHAPE" as const),
})

test("every collection keeps what it was made with, whatever was added to which of them when", () => {
  // each step adds a client to one of the collections there are: a map of its own says what must be in it
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(), fc.nat(9))), (steps) => {
      const all = [{ answers: Answers.none, expected: new Map<string, ReturnType<typeof answerOf>>() }]
      for (const [at, k] of steps) {
        const from = all[at % all.length]
        if (!from || from.expected.has(`c${k}`)) continue
        const expected = new Map(from.expected).set(`c${k}`, answerOf(k))
        all.push({ answers: from.answers.with(`c${k}`, answerOf(k)), expected })
      }
      for (const { answers, expected } of all) {
        expect(answers.size).toBe(expected.size)
        for (let k = 0; k < 10; k++) {
          expect(answers.get(`c${k}`)).toEqual(expected.get(`c${k}`))
          expect(answers.has(`c${k}`)).toBe(expected.has(`c${k}`))
        }
      }
    }),
  )
})
