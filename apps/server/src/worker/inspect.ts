import { checkUpdate } from "@lamina/aggregation"
import { messages } from "@lamina/protocol"
import { hasErrorCode } from "@lamina/protocol/errors"

import type { InspectJob, Inspection } from "./jobs.js"
import { keep, openUpdate } from "./open-update.js"

/** Opens an update and judges it against its plan. A bad update is a verdict; a disk that fails is an error. */
export async function inspect({ update, secret }: InspectJob): Promise<Inspection> {
  try {
    const opened = await openUpdate(update, secret)
    const { content } = opened
    checkUpdate(content, messages.Plan.decode(update.plan), opened.mayExceed)
    keep(update, opened)
    const metrics = Object.fromEntries(content.metrics.map(({ name, value }) => [name, value]))
    return { verdict: "accepted", weight: content.weight, metrics, scores: content.scores }
  } catch (error) {
    if (!hasErrorCode(error) || !isVerdict(error.code)) throw error
    return { verdict: error.code, message: error.message }
  }
}

function isVerdict(code: string): boolean {
  return (
    code.startsWith("UPDATE_") ||
    ["ENVELOPE_REJECTED", "ROUND_MISMATCH", "FRAME_MALFORMED", "FRAME_TOO_LARGE"].includes(code)
  )
}
