import { parentPort, workerData } from "node:worker_threads"
import type { MessagePort } from "node:worker_threads"

import { initKernels } from "@lamina/kernels"

import type { JobCount } from "../api.js"
import { evaluate } from "../evaluate/evaluate.js"
import { generate } from "../generate/generate.js"
import { judgeChoices } from "../judge/choice.js"
import { train } from "../train/train.js"
import { failureOf } from "./failure.js"
import type { FromWorker, ToWorker, Work, WorkerSetup, WorkResult } from "./messages.js"

/** Entry of a pool's worker thread: one piece of work at a time, its progress and its end as messages (messages.ts). */
const port = parentPort as MessagePort
const setup = workerData as WorkerSetup
let kernels: Promise<void> | undefined
let current = new AbortController()

function send(message: FromWorker): void {
  port.postMessage(message)
}

async function perform(work: Work, signal: AbortSignal): Promise<WorkResult> {
  await (kernels ??= initKernels(setup))
  const onCount = (count: JobCount): void => send({ kind: "count", count })
  const onNote = (note: string): void => send({ kind: "note", note })
  switch (work.kind) {
    case "train":
      return train(work.job, {
        ...{ signal, onNote },
        onProgress: (progress) => send({ kind: "progress", progress }),
        onHeldOut: (score) => send({ kind: "heldOut", score }),
      })
    case "evaluate":
      return evaluate(work.job, { signal, onCount, onNote })
    case "generate":
      return generate(work.job, { signal, onCount, onToken: (token) => send({ kind: "token", token }) })
    case "judge":
      return judgeChoices(work.job, { signal, onCount })
  }
}

async function run(work: Work): Promise<void> {
  current = new AbortController()
  const { signal } = current
  try {
    send({ kind: "done", result: await perform(work, signal) })
  } catch (error) {
    send(signal.aborted ? { kind: "aborted" } : { kind: "failed", failure: failureOf(error) })
  }
}

port.on("messageerror", (error) => {
  throw error // ends this thread, and with it the work that could not be read
})
port.on("message", (message: ToWorker) => {
  if (message.kind === "abort") current.abort()
  else void run(message)
})
