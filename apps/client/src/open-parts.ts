import { setMaxListeners } from "node:events"
import { readFileSync } from "node:fs"
import { join } from "node:path"

import { toHex } from "@lamina/crypto"
import type { Capability } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol"

import { reportCapability } from "./capability.js"
import { systemClock } from "./clock.js"
import type { ResolvedOptions } from "./client.js"
import type { Emit } from "./events.js"
import { tryLock } from "./lock.js"
import { MeteredHttp } from "./metered-http.js"
import type { Parts } from "./round.js"
import { openLink } from "./session/handshake.js"
import { pinCoordinator } from "./session/known-coordinator.js"
import { Session } from "./session/session.js"
import { Journal } from "./submit/journal.js"
import { Spool } from "./submit/spool.js"
import type { Trainer } from "./trainer.js"
import { TransferMeter } from "./transfer-meter.js"
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
  const lock = await lockState(state, options.workDir)
  try {
    const journal = await Journal.open(join(state, "journal.jsonl"))
    const spool = await Spool.open(join(state, "rounds"))
    const trainer = options.trainer ?? createTunerTrainer()
    const { clock = systemClock } = options
    const transfers = join(options.workDir, "transfers.json")
    const meter = await TransferMeter.open(transfers, options.clock ? () => clock.now() : () => performance.now())
    const session = createSession(options, { trainer, emit, signal, meter })
    const http = new MeteredHttp({ url: options.url, session, random: options.random, signal }, meter)
    const { identity, data, random, adapterBytesMax, limits, base: localBase, cacheDir: cache } = options
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
        limits,
        clock,
        random,
        emit,
        signal,
      },
      close: async () => {
        stop.abort()
        await http.close()
        await meter.save(transfers).catch(() => undefined) // a full disk: the next process measures again
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

async function lockState(state: string, workDir: string) {
  const lock = await tryLock(join(state, "lock"))
  if (lock) return lock
  throw new LaminaError("USAGE", `expected a work folder of its own, got ${workDir}, which another client uses`, {
    hint: "give each client its own name or workDir",
  })
}

function createSession(
  options: ResolvedOptions,
  { trainer, emit, signal, meter }: Pick<Parts, "trainer" | "emit" | "signal"> & { meter: TransferMeter },
): Session {
  const { url, identity, name, joinToken, requestTimeoutMs, firstConnectMs, random, clock = systemClock } = options
  const { rank: rankMax, precision, limits, machine } = options
  let calibration: ReturnType<Trainer["calibrate"]> | undefined // measured once; a new session tells the same
  let count: Promise<number> | undefined
  const measure = async (): Promise<Capability> => {
    const examples = await (count ??= trainer.countExamples?.(options.data) ?? Promise.resolve(0))
    const calibrate = (): ReturnType<Trainer["calibrate"]> => (calibration ??= trainer.calibrate())
    const wishes = { rankMax, precision, examples, ...limits }
    return { ...(await reportCapability({ calibrate }, wishes, meter.rates())), ...machine }
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
          ...{ url, requestTimeoutMs, onHint, identity, name, joinToken, now: () => clock.now() },
          software: `@lamina/client ${version}`,
          capability: measure,
          pin: (met) => pinCoordinator(join(options.workDir, "coordinator.json"), met),
        },
        until,
      ),
  })
}
