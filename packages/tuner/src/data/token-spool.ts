import { createHash } from "node:crypto"
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { packWindows } from "./rows.js"
import type { Row, RowSource } from "./rows.js"
import type { TokenDocument } from "./tokens.js"

/** Tokens of a block, unless a window is longer. */
const BLOCK_TOKENS = 2 ** 20
/** Tokens held in memory (64 MiB) before they go to disk. */
const MEMORY_TOKENS = 2 ** 24

/** Rows of a data set, in memory or on disk. */
export interface SpooledRows extends RowSource {
  /** Tokens and documents of one pass over the data, what a recipe weighs by. */
  readonly tokens: number
  readonly examples: number
  /** SHA-256 of all tokens and which of them count, document by document: what makes two data sets the same. */
  readonly identity: string
  /** Frees the disk; rows are gone. */
  close(): void
}

/**
 * Takes documents one by one and gives them back as packed rows. Documents are cut into windows of `context` tokens
 * that do not overlap; the first token of a window is not predicted, and a window that predicts nothing is left out.
 * Up to `memoryTokens` stay in memory; more go to a file without a name in the folder that TMPDIR says, so that memory
 * grows by 20 bytes a window only. A token is one Int32: its id where it counts in the loss, -1 - id where not.
 */
export class TokenSpool {
  readonly #context: number
  readonly #blockTokens: number
  readonly #memoryTokens: number
  readonly #hash = createHash("sha256")
  readonly #blocks: Int32Array[] = []
  readonly #starts: number[] = []
  readonly #lengths: number[] = []
  #window: Int32Array
  #filled = 0
  #used = 0
  #tokens = 0
  #examples = 0
  #file: SpoolFile | undefined

  constructor({ context, memoryTokens = MEMORY_TOKENS }: { context: number; memoryTokens?: number }) {
    this.#context = context
    this.#blockTokens = Math.max(BLOCK_TOKENS, context)
    this.#memoryTokens = memoryTokens
    this.#window = new Int32Array(context)
  }

  /** `continues`: the next document goes on where this one stops. FILE_UNWRITABLE when the disk takes no more. */
  add({ ids, predicted }: TokenDocument, continues = false): void {
    const codes = ids.map((id, i) => (predicted[i] === 0 ? -1 - id : id))
    this.#hash.update(codes)
    this.#tokens += ids.length
    for (let at = 0; at < codes.length;) {
      const taken = codes.subarray(at, at + this.#context - this.#filled)
      this.#window.set(taken, this.#filled)
      this.#filled += taken.length
      at += taken.length
      if (this.#filled === this.#context) this.#keepWindow()
    }
    if (continues) return
    this.#keepWindow()
    this.#examples += 1
    this.#hash.update(Int32Array.of(ids.length))
  }

  /** DATA_EMPTY when nothing is predicted. */
  finish(): SpooledRows {
    if (this.#lengths.length === 0) {
      this.close()
      const message = `expected a document of at least 2 tokens with one to predict, got none of ${this.#examples}`
      throw new LaminaError("DATA_EMPTY", message)
    }
    const packed = packWindows(this.#lengths, { context: this.#context })
    return {
      ...{ length: packed.length, tokens: this.#tokens, examples: this.#examples, identity: this.#hash.digest("hex") },
      at: (index) => packed[index]?.map((window) => this.#read(window)) satisfies Row | undefined,
      close: () => this.close(),
    }
  }

  close(): void {
    this.#file?.close()
    this.#file = undefined
    this.#blocks.length = 0
  }

  #keepWindow(): void {
    const window = this.#window.subarray(0, this.#filled)
    this.#filled = 0
    if (!window.subarray(1).some((code) => code >= 0)) return
    const left = this.#blockTokens - (this.#used % this.#blockTokens)
    if (window.length > left) this.#used += left // no window lies in two blocks
    this.#store(window)
    this.#starts.push(this.#used)
    this.#lengths.push(window.length)
    this.#used += window.length
  }

  #store(window: Int32Array): void {
    if (this.#file === undefined && this.#used + window.length > this.#memoryTokens) {
      this.#file = new SpoolFile()
      for (const [index, block] of this.#blocks.entries()) this.#file.write(block, index * this.#blockTokens)
      this.#blocks.length = 0
    }
    if (this.#file) return this.#file.write(window, this.#used)
    const from = this.#used % this.#blockTokens
    this.#block(Math.floor(this.#used / this.#blockTokens), from + window.length).set(window, from)
  }

  /** A block of at least `tokens`; it grows as it fills, so that little data takes little memory. */
  #block(index: number, tokens: number): Int32Array {
    const block = this.#blocks[index]
    if (block && block.length >= tokens) return block
    const grown = new Int32Array(Math.min(this.#blockTokens, Math.max(tokens, 2 * (block?.length ?? 0))))
    if (block) grown.set(block)
    return (this.#blocks[index] = grown)
  }

  #read(window: number): TokenDocument {
    const start = this.#starts[window] as number
    const length = this.#lengths[window] as number
    const from = start % this.#blockTokens
    const codes =
      this.#file?.read(start, length) ??
      (this.#blocks[Math.floor(start / this.#blockTokens)] as Int32Array).subarray(from, from + length)
    return {
      ids: codes.map((code) => (code < 0 ? -1 - code : code)),
      predicted: Uint8Array.from(codes, (code) => (code < 0 ? 0 : 1)),
    }
  }
}

/** Int32 in a file without a name, at positions counted in tokens. */
class SpoolFile {
  #folder: string | undefined
  readonly #descriptor: number

  constructor() {
    try {
      this.#folder = mkdtempSync(join(tmpdir(), "lamina-tokens-"))
      this.#descriptor = openSync(join(this.#folder, "tokens"), "wx+", 0o600)
    } catch (cause) {
      throw unwritable("expected a folder that takes files", cause)
    } finally {
      this.#remove() // a process that is killed leaves nothing; where open files cannot be removed, close does it
    }
  }

  write(tokens: Int32Array, position: number): void {
    const bytes = new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength)
    try {
      for (let done = 0; done < bytes.length;)
        done += writeSync(this.#descriptor, bytes, done, bytes.length - done, position * 4 + done)
    } catch (cause) {
      throw unwritable("tokens of the data do not fit on the disk", cause)
    }
  }

  read(position: number, length: number): Int32Array {
    const bytes = new Uint8Array(4 * length)
    for (let done = 0; done < bytes.length;) {
      const count = readSync(this.#descriptor, bytes, done, bytes.length - done, position * 4 + done)
      if (count === 0) throw new LaminaError("FILE_UNREADABLE", `${tmpdir()}: the tokens of the data were cut short`)
      done += count
    }
    return new Int32Array(bytes.buffer)
  }

  close(): void {
    closeSync(this.#descriptor)
    this.#remove()
  }

  #remove(): void {
    if (this.#folder === undefined) return
    try {
      rmSync(this.#folder, { recursive: true, force: true })
    } catch {
      // an open file, on a system that keeps those
    }
  }
}

function unwritable(what: string, cause: unknown): LaminaError {
  const message = `${tmpdir()}: ${what}, ${(cause as Error).message}`
  return new LaminaError("FILE_UNWRITABLE", message, { cause, hint: "TMPDIR names another folder" })
}
