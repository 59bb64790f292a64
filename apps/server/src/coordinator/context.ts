import type { Logger } from "pino"

import type { Blobs } from "../blobs/blobs.js"
import type { Spool } from "../blobs/spool.js"
import type { Metrics } from "../metrics.js"
import type { Store } from "../store/store.js"
import type { JobRunner } from "../worker/job-runner.js"
import type { CoordinatorEvents } from "./events.js"
import type { CoordinatorIdentity } from "./identity.js"
import type { RunBook } from "./run-book.js"
import type { RunDriver } from "./run-driver.js"
import type { Sessions } from "./sessions.js"

/** What the parts of a coordinator share. */
export interface CoordinatorContext {
  readonly identity: CoordinatorIdentity
  readonly store: Store
  readonly blobs: Blobs
  /** Where the blobs lie: a job that keeps many writes them itself. */
  readonly blobFolder: string
  readonly spool: Spool
  readonly worker: JobRunner
  readonly sessions: Sessions
  readonly book: RunBook
  readonly events: CoordinatorEvents
  readonly metrics: Metrics
  readonly logger: Logger
  /** ms since 1970. */
  readonly now: () => number
  readonly patienceMs: number
  /**
   * Who of the connected may be drawn for a round; a simulator's devices come and go without their sockets. Undefined:
   * everybody.
   */
  readonly present: ((name: string, round: number) => boolean) | undefined
  /** No cohort is drawn before it is true. */
  readonly ready: () => boolean
  /** True once the coordinator is closing: what fails then is tried again by the next start. */
  readonly closing: () => boolean
  /** Takes a driver whose run is over off the list. */
  readonly retire: (driver: RunDriver) => void
  /** Lets go of the uploads of rounds that are over. */
  readonly forgetUploads: () => Promise<void>
}
