import type { Readable } from "node:stream"

import { Buffers } from "@lamina/crypto"
import { LIMITS } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"
import type { FastifyInstance } from "fastify"

/** Chunks that are on their way at once, as a rule. */
const KEPT = 64
const buffers = new Buffers(KEPT * LIMITS.chunkBytes)

/**
 * Bodies of at most one chunk, in memory that is used again: fastify's own parser joins the pieces of each into a
 * buffer of its own. Whoever is done with a body calls `chunkDone`.
 */
export function takeChunkBodies(fastify: FastifyInstance): void {
  fastify.addContentTypeParser("application/octet-stream", async (_request: unknown, payload: Readable) => {
    const memory = buffers.take(LIMITS.chunkBytes)
    try {
      return await read(payload, memory)
    } catch (error) {
      buffers.give(memory)
      throw error
    }
  })
}

/** Nobody reads or writes this body any more. */
export function chunkDone(body: Uint8Array): void {
  buffers.give(body)
}

async function read(payload: Readable, memory: Uint8Array): Promise<Uint8Array> {
  let bytes = 0
  for await (const piece of payload as AsyncIterable<Buffer>) {
    if (bytes + piece.length > memory.length) throw tooLarge(bytes + piece.length)
    memory.set(piece, bytes)
    bytes += piece.length
  }
  return memory.subarray(0, bytes)
}

function tooLarge(bytes: number): LaminaError {
  return new LaminaError("FRAME_TOO_LARGE", `expected a chunk of at most ${LIMITS.chunkBytes} bytes, got ${bytes}`)
}
