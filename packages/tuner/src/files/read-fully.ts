import type { FileHandle } from "node:fs/promises"

import { LaminaError } from "@lamina/protocol/errors"

import { fileError } from "./read-bounded.js"

/** One read call takes at most this much: Node caps a call at 2 GiB, and other work gets its turn in between. */
const READ_BYTES = 64 * 2 ** 20

/** Fills `into` from byte `position` of a file on. WEIGHTS_MALFORMED where the file ends before, FILE_UNREADABLE. */
export async function readFully(
  file: FileHandle,
  path: string,
  range: { readonly into: Uint8Array; readonly position: number },
): Promise<void> {
  const { into, position } = range
  for (let done = 0; done < into.length;) {
    const length = Math.min(READ_BYTES, into.length - done)
    const { bytesRead } = await file.read(into, done, length, position + done).catch((cause: unknown) => {
      throw fileError(path, cause)
    })
    if (bytesRead === 0)
      throw new LaminaError(
        "WEIGHTS_MALFORMED",
        `${path}: expected bytes up to ${position + into.length}, the file ends at ${position + done}`,
      )
    done += bytesRead
  }
}
