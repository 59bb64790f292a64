import type { Readable } from "node:stream"

import { Buffers } from "@lamina/crypto"
import { LIMITS } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"
import type { FastifyInstance, FastifyRequest } from "fastify"

import type { Access } from "./access.js"

const buffers = new Buffers(16 * LIMITS.requestBytesMax)

/**
 * Bodies of chunks, in memory that is used again: fastify's own parser joins the pieces of each into a buffer of its
 * own. Whoever is done with a body calls `chunksDone`. From nobody without a session: the header is looked at before
 * the body is read.
 */
export function takeChunkBodies(fastify: FastifyInstance, access: Access): void {
  fastify.addHook("onRequest", async (request) => {
    if (request.method === "PUT") access.client(request.headers.authorization)
  })
  fastify.addContentTypeParser(
    "application/octet-stream",
    async ({ headers, method }: FastifyRequest, payload: Readable) => {
      // of nobody else is it known by now who sends
      if (method !== "PUT") throw new LaminaError("FRAME_MALFORMED", "expected JSON, got application/octet-stream")
      const bytes = Number(headers["content-length"] ?? LIMITS.requestBytesMax)
      if (!(bytes <= LIMITS.requestBytesMax)) throw tooLarge(bytes)
      const memory = buffers.take(bytes)
      try {
        return await read(payload, memory)
      } catch (error) {
        buffers.give(memory)
        if (error instanceof LaminaError) throw error
        throw new LaminaError("FRAME_MALFORMED", "expected a whole body, got a connection that ended", { cause: error })
      }
    },
  )
}

/** Nobody reads or writes this body any more. */
export function chunksDone(body: Uint8Array): void {
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
  return new LaminaError("FRAME_TOO_LARGE", `expected chunks of at most ${LIMITS.requestBytesMax} bytes, got ${bytes}`)
}
