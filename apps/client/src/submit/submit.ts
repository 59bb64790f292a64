import { toHex } from "@lamina/crypto"
import type { ErrorCode } from "@lamina/protocol"
import { hasErrorCode } from "@lamina/protocol"

import type { RoundName, RoundOutcome } from "../events.js"
import { Refusal } from "../session/requests.js"
import { backoffMs } from "../timing.js"
import { verifyReceipt } from "../verify.js"
import type { Journal, JournalEntry } from "./journal.js"
import type { Spool, SpooledUpdate } from "./spool.js"
import type { UploadOptions } from "./upload.js"
import { upload } from "./upload.js"

interface SubmitOptions extends UploadOptions {
  readonly journal: Journal
  readonly spool: Spool
}

/**
 * Uploads a spooled update, keeps the answer in the journal, then removes the spool: in this order, so that a crash
 * anywhere only sends the same bytes again. Throws SIGNATURE_INVALID for a receipt the pinned coordinator did not
 * sign; the spool stays for a coordinator that does.
 */
export async function submit(options: SubmitOptions, spooled: SpooledUpdate): Promise<RoundOutcome> {
  const name = { runId: spooled.runId, round: spooled.round }
  const entry = await answerFor(options, name, spooled).finally(() => spooled.release())
  await keep(options, entry)
  if (entry.status !== "REFUSED") {
    const { status, sequence, code } = entry
    options.emit("receipt", { ...name, status, sequence, ...(code && { code }) })
  }
  await options.spool.remove(name)
  return { ...name, ...outcomeOf(entry) }
}

/**
 * Sends what an earlier process sealed for this round, as it is; undefined where it sealed nothing. A spool that the
 * disk has destroyed ends the round for this client: it may have been sent, and a second envelope must not be made.
 */
export async function resend(options: SubmitOptions, name: RoundName): Promise<RoundOutcome | undefined> {
  let spooled: SpooledUpdate | undefined
  try {
    spooled = await options.spool.find(name)
  } catch (error) {
    if (!isCorrupt(error)) throw error
    const entry: JournalEntry = {
      ...name,
      status: "REFUSED",
      code: error.code,
      reason: error.message,
      sequence: 0,
      ...NOTHING_LEFT,
    }
    await keep(options, entry)
    await options.spool.remove(name)
    return { ...name, ...outcomeOf(entry) }
  }
  return spooled && submit(options, spooled)
}

const NOTHING_LEFT = { envelopeRoot: "", headerHash: "" }

function isCorrupt(error: unknown): error is Error & { code: ErrorCode } {
  return hasErrorCode(error) && error.code === "BLOB_CORRUPT"
}

async function answerFor(options: SubmitOptions, name: RoundName, spooled: SpooledUpdate): Promise<JournalEntry> {
  const hashes = { envelopeRoot: toHex(spooled.root), headerHash: toHex(spooled.headerHash) }
  try {
    const receipt = await upload(options, name, spooled)
    const subject = { headerHash: spooled.headerHash, envelopeRoot: spooled.root }
    const verified = verifyReceipt(receipt, subject, await options.session.link())
    const [body, signature] = [receipt.body, receipt.signature].map((bytes) => Buffer.from(bytes).toString("base64"))
    return { ...name, ...verified, ...hashes, receipt: { body: body ?? "", signature: signature ?? "" } }
  } catch (error) {
    options.signal.throwIfAborted()
    // its own no is an answer; so is a spool this disk has damaged: another envelope for the round must not be made
    if (!(error instanceof Refusal) && !isCorrupt(error)) throw error
    return { ...name, status: "REFUSED", code: error.code, reason: error.message, sequence: 0, ...hashes }
  }
}

/** A disk without room for one line is waited for: until it is written the answer is not known to the next process. */
async function keep(options: SubmitOptions, entry: JournalEntry): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await options.journal.append(entry)
    } catch (error) {
      if (!hasErrorCode(error) || error.code !== "STORAGE_FULL") throw error
      await options.session.pause("journal", error, backoffMs(attempt, options.random))
    }
  }
}

function outcomeOf({ status, code, reason, sequence }: JournalEntry): Omit<RoundOutcome, keyof RoundName> {
  if (status === "REFUSED") {
    if (code === "ROUND_CLOSED") return { outcome: "closed", code }
    return { outcome: code === "NOT_SELECTED" ? "not-selected" : "failed", code, reason }
  }
  const outcome = status.toLowerCase() as "accepted" | "duplicate" | "late" | "closed" | "rejected"
  return { outcome, sequence, ...(code && { code }) }
}
