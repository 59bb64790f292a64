import { mkdir } from "node:fs/promises"

import { LaminaError } from "@lamina/protocol/errors"

/** Makes the folder of `--out`, parents too. FILE_UNWRITABLE. */
export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
    throw new LaminaError("FILE_UNWRITABLE", `cannot make the folder ${path}: ${cause.code ?? cause.message}`, {
      cause,
    })
  })
}
