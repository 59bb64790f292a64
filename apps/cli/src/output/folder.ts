import { mkdir } from "node:fs/promises"

import { writeFailure } from "./files.js"

/** Makes the folder of `--out`, parents too. FILE_UNWRITABLE, STORAGE_FULL. */
export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((cause: unknown) => {
    throw writeFailure(path, cause)
  })
}
