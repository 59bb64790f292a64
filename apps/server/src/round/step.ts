import { compareNames } from "@lamina/protocol"

import { Answers } from "./answers.js"
import type {
  Aggregating,
  Answer,
  AnswerStatus,
  CarriedUpdate,
  ClientId,
  Collecting,
  CohortMember,
  Round,
  RoundEvent,
  RoundTerms,
  Sealed,
  Selecting,
  StepResult,
} from "./round.js"

/**
 * The failed aggregation of one sealed set with which the round is given up. What only began does not count: a process
 * that crashed or closed meanwhile, a disk that was full.
 */
export const AGGREGATION_ATTEMPTS_MAX = 4

/**
 * The whole rule book of a round. Pure: no clock, randomness, socket or store. Every event may come twice, in any
 * order and at any time; a step that changes nothing returns the same object. Deadlines are judged before the event,
 * so an update that comes after its deadline is late even where no timer has fired yet. Diagram: ARCHITECTURE.md,
 * "One round".
 */
export function step(round: Round, event: RoundEvent, nowMs: number): StepResult {
  switch (round.phase) {
    case "selecting":
      return stepSelecting(round, event, nowMs)
    case "collecting":
      return stepCollecting(round, event, nowMs)
    case "sealed":
    case "aggregating":
      return stepClosed(round, event)
    case "published":
    case "abandoned":
      if (event.kind === "carry") return answer(round, event.id, "CLOSED")
      return event.kind === "commit" ? answer(round, event.clientId, lateStatus(round, event)) : same(round)
    default:
      return assertNever(round)
  }
}

/**
 * The state a log of events leads to; the log holds every event that changed something, with the time it was judged
 * at.
 */
export function replay(start: Round, log: Iterable<{ readonly event: RoundEvent; readonly atMs: number }>): Round {
  let round = start
  for (const { event, atMs } of log) round = step(round, event, atMs).round
  return round
}

/** Updates needed of a cohort of this size: the share rounded up, at least one. */
export function quorumOf(cohort: { readonly size: number; readonly share: number }): number {
  // the 1e-9 keeps a product such as 0.07 * 100 = 7.000000000000001 from asking for one more than its share
  return Math.max(1, Math.ceil(cohort.size * cohort.share - 1e-9))
}

/** The order in which updates are aggregated. */
export function byNameThenId(left: CohortMember, right: CohortMember): number {
  return compareNames(left.name, right.name) || compareNames(left.id, right.id)
}

function stepSelecting(round: Selecting, event: RoundEvent, nowMs: number): StepResult {
  if (event.kind === "cancelled") return abandoned(round, "cancelled")
  if (event.kind === "configured")
    return { round: { phase: "collecting", terms: event.terms, answers: Answers.none }, effects: [] }
  if (event.kind !== "present") return same(round)
  const needed = nowMs >= round.patienceMs ? round.minimum : round.target
  if (event.clients.length < needed) return same(round)
  return { round, effects: [{ kind: "configure", cohort: event.clients.slice(0, round.target) }] }
}

function stepCollecting(round: Collecting, event: RoundEvent, nowMs: number): StepResult {
  if (event.kind === "cancelled") return abandoned(round, "cancelled")
  const due = closeIfDue(round, nowMs)
  if (due) {
    if (event.kind !== "commit" && event.kind !== "carry") return due
    const after = step(due.round, event, nowMs)
    return { round: after.round, effects: [...after.effects, ...due.effects] }
  }
  if (event.kind === "carry") return carry(round, event, nowMs)
  if (event.kind === "declined") return declined(round, event, nowMs)
  if (event.kind !== "commit") return same(round)
  if (!isMember(round.terms, event.clientId)) return answer(round, event.clientId, "NOT_SELECTED")
  const known = round.answers.get(event.clientId)
  if (known) return answer(round, event.clientId, statusAgain(known, event))
  const { clientId, envelopeRoot, verdict } = event
  const answers = round.answers.with(clientId, { envelopeRoot, verdict })
  const taken: Collecting = { ...round, answers }
  return saidThenClosed(taken, answer(taken, event.clientId, statusOf(event.verdict)), nowMs)
}

function declined(round: Collecting, { clientId, code }: RoundEvent & { kind: "declined" }, nowMs: number): StepResult {
  if (!isMember(round.terms, clientId) || round.answers.has(clientId)) return same(round)
  const answers = round.answers.with(clientId, { envelopeRoot: "", verdict: code })
  const taken: Collecting = { ...round, answers }
  return saidThenClosed(taken, same(taken), nowMs)
}

/** Buffered rounds: once for each client and round it was trained for. */
function carry(round: Collecting, event: RoundEvent & { kind: "carry" }, nowMs: number): StepResult {
  const { carried = [] } = round
  const { id, name, round: trainedFor, envelopeRoot, verdict } = event
  const update: CarriedUpdate = { id, name, round: trainedFor, envelopeRoot, verdict }
  const known = carried.find((before) => before.id === id && before.round === trainedFor)
  if (known) return answer(round, update.id, known.envelopeRoot === update.envelopeRoot ? "DUPLICATE" : "CONFLICT")
  const taken: Collecting = { ...round, carried: [...carried, update] }
  return saidThenClosed(taken, answer(taken, update.id, statusOf(update.verdict)), nowMs)
}

/** Ids of a cohort, looked up for every update: terms never change. */
const idsOf = new WeakMap<RoundTerms, ReadonlySet<ClientId>>()

function isMember(terms: RoundTerms, id: ClientId): boolean {
  let ids = idsOf.get(terms)
  if (!ids) idsOf.set(terms, (ids = new Set(terms.cohort.map((member) => member.id))))
  return ids.has(id)
}

function statusOf(verdict: Answer["verdict"]): AnswerStatus {
  return verdict === "accepted" ? "ACCEPTED" : "REJECTED"
}

function saidThenClosed(round: Collecting, said: StepResult, nowMs: number): StepResult {
  const closed = closeIfDue(round, nowMs)
  return closed ? { round: closed.round, effects: [...said.effects, ...closed.effects] } : said
}

/** Sealed or abandoned when nothing more is to be waited for; undefined while the round goes on collecting. */
function closeIfDue(round: Collecting, nowMs: number): StepResult | undefined {
  const { terms, answers, carried = [] } = round
  const { wanted = terms.cohort.length, busy = 0 } = terms
  const nobodyLeft = answers.size === terms.cohort.length && carried.length >= busy
  const early = nowMs < terms.softDeadlineMs && nowMs < terms.hardDeadlineMs
  if (early && !nobodyLeft && answers.size + carried.length < wanted) return undefined
  const accepted = terms.cohort.filter((member) => answers.get(member.id)?.verdict === "accepted")
  const counted = carried.filter(({ verdict }) => verdict === "accepted")
  const count = accepted.length + counted.length
  const enough = count >= terms.quorum
  const allIn = nobodyLeft || count >= wanted
  if (!allIn && nowMs < terms.hardDeadlineMs && !(enough && nowMs >= terms.softDeadlineMs)) return undefined
  // what keeps a client from its part may pass: rounds without a quorum do not follow each other at once for it
  if (!enough && nowMs < terms.hardDeadlineMs && terms.cohort.some(({ id }) => answers.get(id)?.envelopeRoot === ""))
    return undefined
  if (!enough) return abandoned(round, "quorum-missed")
  const order = accepted.sort(byNameThenId).map((member) => member.id)
  const counts =
    counted.length === 0 ? {} : { counted: counted.sort((a, b) => a.round - b.round || byNameThenId(a, b)) }
  const buffered = carried.length === 0 ? {} : { carried, ...counts }
  return {
    round: { phase: "sealed", terms, answers, accepted: order, late: [], ...buffered },
    effects: [{ kind: "aggregate", accepted: order, ...counts }],
  }
}

function stepClosed(round: Sealed | Aggregating, event: RoundEvent): StepResult {
  switch (event.kind) {
    case "aggregation-started":
      return round.phase === "aggregating"
        ? same(round)
        : { round: { ...round, phase: "aggregating", failures: 0 }, effects: [] }
    case "aggregated":
      return {
        round: withoutAttempt(round, event.adapterHash),
        effects: [{ kind: "publish", adapterHash: event.adapterHash }],
      }
    case "aggregation-failed": {
      const failures = 1 + (round.phase === "aggregating" ? round.failures : 0)
      if (failures >= AGGREGATION_ATTEMPTS_MAX) return abandoned(round, "aggregation-failed")
      return {
        round: { ...round, phase: "aggregating", failures },
        effects: [{ kind: "aggregate", accepted: round.accepted, counted: round.counted }],
      }
    }
    case "cancelled":
      return abandoned(round, "cancelled")
    case "carry":
      return answer(round, event.id, "LATE")
    case "commit": {
      const status = lateStatus(round, event)
      if (status !== "LATE" || round.late.includes(event.clientId)) return answer(round, event.clientId, status)
      return answer({ ...round, late: [...round.late, event.clientId] }, event.clientId, status)
    }
    default:
      return same(round)
  }
}

function withoutAttempt(round: Sealed | Aggregating, adapterHash: string): Round {
  const { terms, answers, accepted, late, carried, counted } = round
  const buffered = { ...(carried ? { carried } : {}), ...(counted ? { counted } : {}) }
  return { phase: "published", terms, answers, accepted, late, ...buffered, adapterHash }
}

/**
 * What a commit is told once its round no longer collects: known roots keep their answer, everything else is late or
 * closed.
 */
function lateStatus(round: Exclude<Round, Selecting>, event: RoundEvent & { kind: "commit" }): AnswerStatus {
  const known = round.answers?.get(event.clientId)
  if (known) return statusAgain(known, event)
  if (round.terms && !isMember(round.terms, event.clientId)) return "NOT_SELECTED"
  return round.phase === "abandoned" ? "CLOSED" : "LATE"
}

/** What a client is told that has answered before. */
function statusAgain({ envelopeRoot }: Answer, again: { readonly envelopeRoot: string }): AnswerStatus {
  if (envelopeRoot === "") return "CLOSED"
  return envelopeRoot === again.envelopeRoot ? "DUPLICATE" : "CONFLICT"
}

function abandoned(round: Round, reason: "quorum-missed" | "aggregation-failed" | "cancelled"): StepResult {
  const open = round.phase === "selecting" ? {} : { terms: round.terms, answers: round.answers }
  return { round: { phase: "abandoned", reason, ...open }, effects: [{ kind: "abandon", reason }] }
}

function answer(round: Round, clientId: ClientId, status: AnswerStatus): StepResult {
  return { round, effects: [{ kind: "answer", clientId, status }] }
}

function same(round: Round): StepResult {
  return { round, effects: [] }
}

function assertNever(round: never): never {
  throw new TypeError(`a round in an unknown phase: ${JSON.stringify(round)}`)
}
