import { LIMITS } from "@lamina/protocol"

import type { UploadRow } from "../store/schema.js"
import type { EnvelopeSource } from "../worker/jobs.js"
import type { CoordinatorContext } from "./context.js"

/**
 * True for an envelope that is kept in the database: a file costs its name, its blocks and two syncs, and what is
 * smaller is cheaper as a row. One chunk at most.
 */
export function isSmall({ envelope_bytes }: Pick<UploadRow, "envelope_bytes">): boolean {
  return envelope_bytes <= LIMITS.smallEnvelopeBytesMax
}

/** Where the envelope of an upload lies, for the worker thread. */
export function sourceOf(
  { store, spool }: Pick<CoordinatorContext, "store" | "spool">,
  upload: Pick<UploadRow, "id" | "envelope_bytes">,
): EnvelopeSource {
  return isSmall(upload) ? { database: store.file, uploadId: upload.id } : { path: spool.pathOf(upload.id) }
}
