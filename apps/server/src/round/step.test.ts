import fc from "fast-check"

import { isOver } from "./round.js"
import type { CohortMember, Collecting, Round, RoundEffect, RoundEvent, Selecting } from "./round.js"
import { AGGREGATION_ATTEMPTS_MAX, byNameThenId, quorumOf, replay, step } from "./step.js"

const START: Selecting = { phase: "selecting", target: 3, minimum: 2, patienceMs: 60_000 }
const SOFT = 1_000
const HARD = 2_000

const cohortOf = (size: number): CohortMember[] =>
  Array.from({ length: size }, (_, i) => ({ id: `id${i}`, name: `n${(size - i) % 7}` }))

function collecting(size: number, quorum: number): Collecting {
  const terms = { cohort: cohortOf(size), quorum, softDeadlineMs: SOFT, hardDeadlineMs: HARD }
  return step(START, { kind: "configured", terms }, 0).round as Collecting
}
const commit = (
  clientId: string,
  envelopeRoot = `root of ${clientId}`,
  verdict: "accepted" | "UPDATE_RANK" = "accepted",
) => ({ kind: "commit", clientId, envelopeRoot, verdict }) as const
const declined = (clientId: string) => ({ kind: "declined", clientId, code: "TRAINING_DIVERGED" }) as const
const statuses = (effects: readonly RoundEffect[]) =>
  effects.flatMap((effect) => (effect.kind === "answer" ? [effect.status] : []))

/** Feeds timed events in order; returns the final round, every effect, and the log of events that changed something. */
function feed(start: Round, timed: readonly { event: RoundEvent; atMs: number }[]) {
  let round = start
  const effects: RoundEffect[] = []
  const log: { event: RoundEvent; atMs: number }[] = []
  for (const entry of timed) {
    const result = step(round, entry.event, entry.atMs)
    if (result.round !== round) log.push(entry)
    round = result.round
    effects.push(...result.effects)
  }
  return { round, effects, log }
}

const anyEvent: fc.Arbitrary<RoundEvent> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(fc.nat(7), fc.nat(2), fc.boolean())
      .map(([client, root, good]) => commit(`id${client}`, `r${client}-${root}`, good ? "accepted" : "UPDATE_RANK")),
  },
  { weight: 2, arbitrary: fc.constant<RoundEvent>({ kind: "tick" }) },
  {
    weight: 2,
    arbitrary: fc.nat(7).map((client): RoundEvent => declined(`id${client}`)),
  },
  fc.constant<RoundEvent>({ kind: "aggregation-started" }),
  fc.constant<RoundEvent>({ kind: "aggregation-failed" }),
  fc.constant<RoundEvent>({ kind: "aggregated", adapterHash: "aa" }),
  fc.constant<RoundEvent>({
    kind: "configured",
    terms: { cohort: cohortOf(2), quorum: 1, softDeadlineMs: 9e9, hardDeadlineMs: 9e9 },
  }),
  fc.constant<RoundEvent>({ kind: "present", clients: cohortOf(4) }),
)
/** Times go forth and back: a clock may jump. */
const anyHistory = fc.array(fc.record({ event: anyEvent, atMs: fc.integer({ min: -500, max: 2_500 }) }), {
  maxLength: 60,
})
const sizes = fc
  .record({ size: fc.integer({ min: 1, max: 6 }), quorum: fc.integer({ min: 1, max: 6 }) })
  .map(({ size, quorum }) => ({ size, quorum: Math.min(size, quorum) }))
const RUNS = { numRuns: 2_000, seed: 20_260 }

test("a round opens with its target at once and with its minimum only after its patience", () => {
  const present = (count: number) => ({ kind: "present", clients: cohortOf(count) }) as const
  expect(step(START, present(2), 59_999).effects).toEqual([])
  expect(step(START, present(2), 60_000).effects).toEqual([{ kind: "configure", cohort: cohortOf(2) }])
  expect(step(START, present(1), 90_000).effects).toEqual([])
  // five are present, three are wanted: the first three of the drawing order
  expect(step(START, present(5), 0).effects).toEqual([{ kind: "configure", cohort: cohortOf(5).slice(0, 3) }])
})

test("a round seals when everybody answered, in the order of names, then ids", () => {
  const { round, effects } = feed(
    collecting(3, 2),
    ["id2", "id0", "id1"].map((id) => ({ event: commit(id), atMs: 10 })),
  )
  // names are n3 (id0), n2 (id1), n1 (id2)
  expect(round.phase).toBe("sealed")
  expect(effects.at(-1)).toEqual({ kind: "aggregate", accepted: ["id2", "id1", "id0"] })
})

test("an over-selected cohort closes with the updates that were wanted, and the rest is late", () => {
  const terms = { cohort: cohortOf(4), wanted: 3, quorum: 2, softDeadlineMs: SOFT, hardDeadlineMs: HARD }
  const start = step(START, { kind: "configured", terms }, 0).round
  const { round, effects } = feed(
    start,
    ["id3", "id0", "id1", "id2"].map((id) => ({ event: commit(id), atMs: 10 })),
  )
  expect(statuses(effects)).toEqual(["ACCEPTED", "ACCEPTED", "ACCEPTED", "LATE"])
  expect(round).toMatchObject({ phase: "sealed", accepted: ["id3", "id1", "id0"], late: ["id2"] })
})

test("who declines is not waited for once a quorum is in, and short of one ends nothing before the deadline", () => {
  const { round, effects } = feed(
    collecting(3, 2),
    [commit("id0"), declined("id1"), declined("id1"), declined("stranger"), commit("id2"), commit("id1")].map(
      (event) => ({ event, atMs: 10 }),
    ),
  )
  expect(statuses(effects)).toEqual(["ACCEPTED", "ACCEPTED", "CLOSED"])
  expect(round).toMatchObject({ phase: "sealed", accepted: ["id2", "id0"], late: [] })

  const short = feed(
    collecting(3, 2),
    [commit("id0"), declined("id1"), declined("id2")].map((event) => ({ event, atMs: 10 })),
  ).round
  expect([SOFT, HARD - 1, HARD].map((atMs) => step(short, { kind: "tick" }, atMs).round.phase)).toEqual([
    ...["collecting", "collecting", "abandoned"],
  ])
})

const carried = (id: string, round: number, verdict: "accepted" | "UPDATE_RANK" = "accepted") =>
  ({ kind: "carry", id, name: `n${id}`, round, envelopeRoot: `root of ${id} in ${round}`, verdict }) as const

test("a buffered round counts updates of earlier rounds, each once, and closes when its buffer is full", () => {
  const terms = { cohort: cohortOf(2), wanted: 3, busy: 3, quorum: 1, softDeadlineMs: SOFT, hardDeadlineMs: HARD }
  const start = step(START, { kind: "configured", terms }, 0).round
  const { round, effects } = feed(
    start,
    [carried("b", 4), carried("b", 4), carried("a", 5), carried("c", 2, "UPDATE_RANK"), commit("id0")].map((event) => {
      return { event, atMs: 10 }
    }),
  )
  expect(statuses(effects)).toEqual(["ACCEPTED", "DUPLICATE", "ACCEPTED", "REJECTED", "ACCEPTED"])
  expect(round.phase).toBe("sealed")
  expect(effects.at(-1)).toMatchObject({
    kind: "aggregate",
    accepted: ["id0"],
    counted: [
      { id: "b", round: 4 },
      { id: "a", round: 5 },
    ],
  })
  expect(step(round, carried("d", 3), 20).effects).toEqual([{ kind: "answer", clientId: "d", status: "LATE" }])
})

test("a buffered round does not wait for more than there are: everybody answered closes it below its buffer", () => {
  const terms = { cohort: cohortOf(1), wanted: 5, busy: 1, quorum: 1, softDeadlineMs: SOFT, hardDeadlineMs: HARD }
  const one = step(step(START, { kind: "configured", terms }, 0).round, commit("id0"), 10).round
  expect(one.phase).toBe("collecting")
  expect(step(one, carried("a", 1), 20).round.phase).toBe("sealed")
})

test("the soft deadline seals a quorum, and below it the round waits for the hard deadline", () => {
  const one = step(collecting(3, 2), commit("id0"), 10).round
  expect(step(one, { kind: "tick" }, SOFT).round.phase).toBe("collecting")
  const two = step(one, commit("id1"), SOFT - 1).round
  expect(two.phase).toBe("collecting")
  expect(step(two, { kind: "tick" }, SOFT).round.phase).toBe("sealed")
  expect(step(one, commit("id1"), SOFT + 5).round.phase).toBe("sealed")
  expect(step(one, { kind: "tick" }, HARD)).toMatchObject({
    round: { phase: "abandoned", reason: "quorum-missed" },
    effects: [{ kind: "abandon", reason: "quorum-missed" }],
  })
})

test("an update after the deadline is late even where no timer has fired, and the seal happens with it", () => {
  const two = feed(collecting(3, 2), [
    { event: commit("id0"), atMs: 1 },
    { event: commit("id1"), atMs: 2 },
  ]).round
  const { round, effects } = step(two, commit("id2"), SOFT)
  expect(round).toMatchObject({ phase: "sealed", accepted: ["id1", "id0"], late: ["id2"] })
  expect(statuses(effects)).toEqual(["LATE"])
  expect(effects.filter((effect) => effect.kind === "aggregate")).toHaveLength(1)
})

test("an update after an abandoned round is told CLOSED, a stranger NOT_SELECTED", () => {
  const { round, effects } = step(collecting(2, 1), commit("id0"), HARD)
  expect(round.phase).toBe("abandoned")
  expect(statuses(effects)).toEqual(["CLOSED"])
  expect(statuses(step(collecting(2, 1), commit("id9"), 1).effects)).toEqual(["NOT_SELECTED"])
})

test("the same root is a duplicate and another root a conflict, in every later phase too", () => {
  let round: Round = step(collecting(1, 1), commit("id0"), 1).round
  for (const event of [
    { kind: "tick" },
    { kind: "aggregation-started" },
    { kind: "aggregated", adapterHash: "aa" },
  ] as const) {
    expect(statuses(step(round, commit("id0"), 2).effects)).toEqual(["DUPLICATE"])
    expect(statuses(step(round, commit("id0", "other"), 2).effects)).toEqual(["CONFLICT"])
    round = step(round, event, 3).round
  }
  expect(round).toMatchObject({ phase: "published", adapterHash: "aa" })
})

test("rejected updates count as answers but not for the quorum", () => {
  const { round } = feed(collecting(2, 2), [
    { event: commit("id0"), atMs: 1 },
    { event: commit("id1", "r", "UPDATE_RANK"), atMs: 2 },
  ])
  expect(round).toMatchObject({ phase: "abandoned", reason: "quorum-missed" })
})

const STARTED = { event: { kind: "aggregation-started" }, atMs: 5 } as const
const FAILED = { event: { kind: "aggregation-failed" }, atMs: 6 } as const

test("a failing aggregation is tried four times, then the round is abandoned, by its log as well", () => {
  const start = step(collecting(1, 1), commit("id0"), 1).round
  const aggregates: number[] = []
  let soFar = feed(start, [])
  for (let attempt = 1; attempt <= AGGREGATION_ATTEMPTS_MAX; attempt++) {
    soFar = feed(start, [...soFar.log, STARTED, FAILED])
    aggregates.push(soFar.effects.filter((effect) => effect.kind === "aggregate").length)
    // a restart in between forgets no failure
    expect(replay(start, soFar.log)).toEqual(soFar.round)
  }
  expect(aggregates).toEqual([1, 2, 3, 3])
  expect(soFar.round).toMatchObject({ phase: "abandoned", reason: "aggregation-failed" })
})

test("aggregations that began and were cut off count for nothing, however many they are", () => {
  const start = step(collecting(1, 1), commit("id0"), 1).round
  const began = Array.from({ length: 3 * AGGREGATION_ATTEMPTS_MAX }, () => STARTED)
  const { round, log } = feed(start, [...began, FAILED])
  expect(round).toMatchObject({ phase: "aggregating", failures: 1 })
  // began, failed: the log does not grow with every try
  expect(log).toHaveLength(2)
})

test("cancelling ends a round in every phase but the last", () => {
  const sealed = step(collecting(1, 1), commit("id0"), 1).round
  for (const round of [START, collecting(2, 1), sealed, step(sealed, { kind: "aggregation-started" }, 2).round])
    expect(step(round, { kind: "cancelled" }, 9).round).toMatchObject({ phase: "abandoned", reason: "cancelled" })
  const published = step(sealed, { kind: "aggregated", adapterHash: "aa" }, 2).round
  expect(step(published, { kind: "cancelled" }, 9).round).toBe(published)
})

test("whatever comes, a round ends once its hard deadline has passed and its aggregation answered", () => {
  fc.assert(
    fc.property(sizes, anyHistory, ({ size, quorum }, history) => {
      let { round } = feed(collecting(size, quorum), history)
      round = step(round, { kind: "tick" }, HARD).round
      if (!isOver(round)) round = step(round, { kind: "aggregated", adapterHash: "bb" }, HARD).round
      expect(isOver(round)).toBe(true)
    }),
    RUNS,
  )
})

test("whatever comes, no client is counted twice, and what was told ACCEPTED is exactly what is sealed", () => {
  fc.assert(
    fc.property(sizes, anyHistory, ({ size, quorum }, history) => {
      const { round, effects } = feed(collecting(size, quorum), [...history, { event: { kind: "tick" }, atMs: HARD }])
      const told = effects.flatMap((effect) =>
        effect.kind === "answer" && effect.status === "ACCEPTED" ? [effect.clientId] : [],
      )
      expect(new Set(told).size).toBe(told.length)
      if (!("accepted" in round)) return
      expect(round.accepted.length).toBeGreaterThanOrEqual(quorum)
      expect([...round.accepted].sort()).toEqual([...told].sort())
      for (const id of told) expect(round.late).not.toContain(id)
    }),
    RUNS,
  )
})

test("whatever comes, terms never change and a seal is asked to be aggregated in one fixed order", () => {
  fc.assert(
    fc.property(sizes, anyHistory, ({ size, quorum }, history) => {
      const start = collecting(size, quorum)
      const { round, effects } = feed(start, history)
      expect("terms" in round ? round.terms : undefined).toEqual(start.terms)
      const orders = effects.flatMap((effect) => (effect.kind === "aggregate" ? [effect.accepted.join()] : []))
      expect(new Set(orders).size).toBeLessThanOrEqual(1)
    }),
    RUNS,
  )
})

test("whatever the order and however often each update comes, the sealed set is the same", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat(5), { minLength: 1 }),
      fc.array(fc.nat(5)),
      fc.infiniteStream(fc.nat(1_000)),
      (who, again, draw) => {
        const ids = who.map((i) => `id${i}`)
        const resent = again.map((i) => `id${i}`).filter((id) => ids.includes(id))
        const keyed = [...ids, ...resent].map((id) => ({ id, key: draw.next().value as number }))
        const shuffled = keyed.sort((x, y) => x.key - y.key).map(({ id }) => ({ event: commit(id), atMs: 5 }))
        const expected = cohortOf(6)
          .filter((member) => ids.includes(member.id))
          .sort(byNameThenId)
          .map((member) => member.id)
        const { round } = feed(collecting(6, 1), [...shuffled, { event: { kind: "tick" }, atMs: SOFT }])
        expect(round).toMatchObject({ phase: "sealed", accepted: expected })
      },
    ),
    RUNS,
  )
})

test("the events that changed something, replayed, give the same round: a restart restarts no deadline", () => {
  fc.assert(
    fc.property(sizes, anyHistory, ({ size, quorum }, history) => {
      const start = collecting(size, quorum)
      const { round, log } = feed(start, history)
      expect(replay(start, log)).toEqual(round)
    }),
    RUNS,
  )
})

test("the quorum is the share rounded up, at least one", () => {
  // 0.6 * 5 = 3; 0.6 * 4 = 2.4; 0.07 * 100 = 7.000000000000001 in binary, 7 meant
  expect([
    quorumOf({ size: 5, share: 0.6 }),
    quorumOf({ size: 4, share: 0.6 }),
    quorumOf({ size: 100, share: 0.07 }),
  ]).toEqual([3, 3, 7])
  expect(quorumOf({ size: 3, share: 0.01 })).toBe(1)
})
