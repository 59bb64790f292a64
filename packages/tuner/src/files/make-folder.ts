import { mkdir, readdir } from "node:fs/promises"

import { LaminaError } from "@lamina/protocol/errors"

/** Makes a folder and those above it; one that is there stays. FILE_UNWRITABLE. */
export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause: Error) => {
    throw new LaminaError("FILE_UNWRITABLE", `${folder}: ${cause.message}`, { cause })
  })
}

/** A new or empty folder, so that no other model is written over. FILE_UNWRITABLE. */
export async function makeEmptyFolder(folder: string): Promise<void> {
  await makeFolder(folder)
  const there = await readdir(folder).catch((cause: Error) => {
    throw new LaminaError("FILE_UNWRITABLE", `${folder}: ${cause.message}`, { cause })
  })
  if (there.length > 0)
    throw new LaminaError("FILE_UNWRITABLE", `${folder}: expected a new or empty folder, it holds ${there[0]}`, {
      hint: "name another folder, or remove this one",
    })
}
