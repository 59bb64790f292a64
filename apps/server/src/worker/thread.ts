import { parentPort } from "node:worker_threads"

import { hasErrorCode } from "@lamina/protocol/errors"

import { aggregate } from "./aggregate.js"
import { inspect } from "./inspect.js"
import { project } from "./project.js"
import type { CarriedError, JobReply, JobRequest } from "./job-runner.js"
import type { Job, JobResults } from "./jobs.js"

/** Replies that are ready wait so long for more at most. */
const GATHER_MS = 5

/** The thread behind JobRunner: jobs in the order in which they come. */
let queue: Promise<void> = Promise.resolve()
parentPort?.on("message", (asked: readonly JobRequest[]) => {
  queue = queue.then(() => answer(asked))
})

async function answer(asked: readonly JobRequest[]): Promise<void> {
  let replies: JobReply[] = []
  let sinceMs = performance.now()
  for (const { id, job } of asked) {
    const reply = await run(job).then(
      (result): JobReply => ({ id, result }),
      (error: unknown): JobReply => ({ id, error: carried(error) }),
    )
    replies.push(reply)
    if (performance.now() - sinceMs < GATHER_MS) continue
    parentPort?.postMessage(replies)
    replies = []
    sinceMs = performance.now()
  }
  if (replies.length > 0) parentPort?.postMessage(replies)
}

function run(job: Job): Promise<JobResults[keyof JobResults]> {
  switch (job.kind) {
    case "inspect":
      return inspect(job)
    case "aggregate":
      return aggregate(job)
    case "project":
      return Promise.resolve(project(job))
  }
}

function carried(error: unknown): CarriedError {
  if (!(error instanceof Error)) return { message: String(error) }
  const { message, stack } = error
  return { message, ...(stack === undefined ? {} : { stack }), ...(hasErrorCode(error) ? { code: error.code } : {}) }
}
