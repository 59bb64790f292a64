import { mkdir } from "node:fs/promises"

import { LaminaError } from "@lamina/protocol/errors"

/** Makes a folder and those above it; one that is there stays. FILE_UNWRITABLE. */
export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause: Error) => {
    throw new LaminaError("FILE_UNWRITABLE", `${folder}: ${cause.message}`, { cause })
  })
}
