import { parentPort } from "node:worker_threads"

import { hasErrorCode } from "@lamina/protocol/errors"

import { aggregate } from "./aggregate.js"
import { inspect } from "./inspect.js"
import { project } from "./project.js"
import type { CarriedError, JobReply, JobRequest } from "./job-runner.js"
import type { Job, JobResults } from "./jobs.js"

/** The thread behind JobRunner: jobs in the order in which they come. */
let queue: Promise<void> = Promise.resolve()
parentPort?.on("message", ({ id, job }: JobRequest) => {
  queue = queue.then(async () => {
    const reply = await run(job).then(
      (result): JobReply => ({ id, result }),
      (error: unknown): JobReply => ({ id, error: carried(error) }),
    )
    parentPort?.postMessage(reply)
  })
})

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
