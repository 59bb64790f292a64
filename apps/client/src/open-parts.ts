import { setMaxListeners } from "node:events"
import { readFileSync } from "node:fs"
import { join } from "node:path"

import { toHex } from "@lamina/crypto"
import type { Capability } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol"

import { reportCapability } from "./capability.js"
import type { ResolvedOptions } from "./client.js"
import type { Emit } from "./events.js"
import { Http } from "./fetch/http.js"
import { tryLock } from "./lock.js"
import type { Parts } from "./round.js"
import { openLink } from "./session/handshake.js"
import { pinCoordinator } from "./session/known-coordinator.js"
import { Session } from "./session/session.js"
import { Journal } from "./submit/journal.js"
import { Spool } from "./submit/spool.js"
import { createTunerTrainer } from "./tuner-trainer.js"

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string }

interface OpenedParts {
  readonly parts: Parts
  /** Ends what was opened, in reverse; waits for what is under way. */
  close(): Promise<void>
}

/**
 * Takes the work folder, opens journal and spool, and starts to connect. A folder belongs to one process at a time
 * (USAGE): two could seal two updates for one round.
 */
export async function openParts(
  options: ResolvedOptions,
  emit: Emit,
  outer: AbortSignal | undefined,
): Promise<OpenedParts> {
  const stop = new AbortController()
  const signal = outer ? AbortSignal.any([outer, stop.signal]) : stop.signal
  setMaxListeners(0, signal) // every transfer and wait listens
  // the state of another identity in the same folder is left alone: its envelopes cannot be sent by this one
  const state = join(options.workDir, toHex(options.identity.clientId))
  const lock = await tryLock(join(state, "lock"))
  if (!lock)
    throw new LaminaError(
      "USAGE",
      `expected a work folder of its own, got ${options.workDir}, which another client uses`,
      {
        hint: "give each client its own name or workDir",
      },
    )
  try {
    const journal = await Journal.open(join(state, "journal.jsonl"))
    const spool = await Spool.open(join(state, "rounds"))
    const trainer = options.trainer ?? createTunerTrainer()
    const session = createSession(options, { trainer, emit, signal })
    const http = new Http({ url: options.url, session, random: options.random, signal })
    const { identity, data, random, adapterBytesMax, base: localBase, cacheDir: cache } = options
    return {
      parts: {
        session,
        http,
        journal,
        spool,
        trainer,
        identity,
        data,
        cache,
        localBase,
        adapterBytesMax,
        random,
        emit,
        signal,
      },
      close: async () => {
        stop.abort()
        await http.close()
        if (!options.trainer) await trainer.close()
        journal.close()
        spool.close()
        await lock.release()
      },
    }
  } catch (error) {
    await lock.release()
    throw error
  }
}

function createSession(
  options: ResolvedOptions,
  { trainer, emit, signal }: Pick<Parts, "trainer" | "emit" | "signal">,
): Session {
  const { url, identity, name, joinToken, requestTimeoutMs, firstConnectMs, random } = options
  let report: Promise<Capability> | undefined // measured once; every new session tells the same
  const measure = async (): Promise<Capability> => {
    const examples = (await trainer.countExamples?.(options.data)) ?? 0
    return reportCapability(trainer, { rankMax: options.rank, precision: options.precision, examples })
  }
  return new Session({
    coordinator: url.href,
    firstConnectMs,
    random,
    emit,
    signal,
    connect: (onHint, until) =>
      openLink(
        {
          ...{ url, requestTimeoutMs, onHint, identity, name, joinToken },
          software: `@lamina/client ${version}`,
          capability: () => (report ??= measure()),
          pin: (met) => pinCoordinator(join(options.workDir, "coordinator.json"), met),
        },
        until,
      ),
  })
}
