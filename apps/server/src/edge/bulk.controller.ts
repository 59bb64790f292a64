import { createReadStream } from "node:fs"
import type { Readable } from "node:stream"

import { applyDecorators, Controller, Get, Headers, HttpCode, Inject, Param, Put, Req, Res } from "@nestjs/common"
import {
  ApiBearerAuth,
  ApiHeader,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiProduces,
  ApiResponse,
  ApiTags,
} from "@nestjs/swagger"
import type { FastifyReply, FastifyRequest } from "fastify"

import { LaminaError } from "@lamina/protocol/errors"

import type { Coordinator } from "../coordinator/coordinator.js"
import type { Access } from "./access.js"
import { chunksDone } from "./chunk-bodies.js"
import { parseRange } from "./range.js"
import { ACCESS, COORDINATOR } from "./tokens.js"

const BYTES = "application/octet-stream"
/** Bytes of one content never change under their hash. */
const FOREVER = "private, max-age=31536000, immutable"

interface Content {
  readonly hash: string
  readonly bytes: number
  open(start: number, end: number): Uint8Array | Readable
}

/** Bytes by content hash, whole or a range of them. */
const ApiBytes = (description: string) =>
  applyDecorators(
    ApiHeader({ name: "range", required: false }),
    ApiProduces(BYTES),
    ApiOkResponse({ description }),
    ApiResponse({ status: 206, description: `${description}: the range that was asked for` }),
    ApiResponse({ status: 416, description: "a range outside" }),
  )

/** Bulk bytes: chunks of uploads in, adapters and base files out by content hash, with ranges. */
@ApiTags("bulk")
@ApiBearerAuth()
@Controller("v1")
export class BulkController {
  constructor(
    @Inject(COORDINATOR) private readonly coordinator: Coordinator,
    @Inject(ACCESS) private readonly access: Access,
  ) {}

  @Put("uploads/:id/chunks/:index")
  @HttpCode(204)
  @ApiOperation({ summary: "Make chunks of an upload durable: this one and those behind it, as many as the body has" })
  @ApiParam({ name: "id", schema: { type: "string" } })
  @ApiParam({ name: "index", schema: { type: "integer" } })
  async putChunks(
    @Req() request: FastifyRequest,
    @Param("id") id: string,
    @Param("index") index: string,
  ): Promise<void> {
    const clientId = this.access.client(request.headers.authorization)
    const { body } = request
    if (!(body instanceof Uint8Array)) throw new LaminaError("FRAME_MALFORMED", `expected a body of ${BYTES}`)
    if (!/^\d{1,6}$/.test(index))
      throw new LaminaError("FRAME_MALFORMED", `expected the number of a chunk, got "${index.slice(0, 20)}"`)
    try {
      await this.coordinator.putChunks(clientId, { uploadId: id, index: Number(index), bytes: body })
    } finally {
      chunksDone(body)
    }
  }

  @Get("adapters/:hash")
  @ApiOperation({ summary: "A global adapter by content hash" })
  @ApiParam({ name: "hash", schema: { type: "string" } })
  @ApiBytes("encodeAdapter bytes")
  async adapter(
    @Headers() headers: Record<string, string>,
    @Param("hash") hash: string,
    @Res() response: FastifyReply,
  ): Promise<void> {
    this.access.member(headers.authorization)
    const bytes = await this.coordinator.adapter(hashOf(hash))
    this.send(headers, response, { hash, bytes: bytes.length, open: (start, end) => bytes.subarray(start, end) })
  }

  @Get("bases/:hash")
  @ApiOperation({ summary: "The manifest of a base" })
  @ApiParam({ name: "hash", schema: { type: "string" } })
  @ApiBytes("BaseManifest")
  async base(
    @Headers() headers: Record<string, string>,
    @Param("hash") hash: string,
    @Res() response: FastifyReply,
  ): Promise<void> {
    this.access.reader(headers.authorization)
    const bytes = await this.coordinator.bases.manifest(hashOf(hash))
    this.send(headers, response, { hash, bytes: bytes.length, open: (start, end) => bytes.subarray(start, end) })
  }

  @Get("blobs/:hash")
  @ApiOperation({ summary: "A file of a base by content hash" })
  @ApiParam({ name: "hash", schema: { type: "string" } })
  @ApiBytes("the file")
  async blob(
    @Headers() headers: Record<string, string>,
    @Param("hash") hash: string,
    @Res() response: FastifyReply,
  ): Promise<void> {
    this.access.member(headers.authorization)
    const { path, bytes } = await this.coordinator.bases.file(hashOf(hash))
    this.send(headers, response, { hash, bytes, open: (start, end) => createReadStream(path, { start, end: end - 1 }) })
  }

  private send(headers: Record<string, string>, response: FastifyReply, content: Content): void {
    const etag = `"${content.hash}"`
    void response.headers({ etag, "accept-ranges": "bytes", "cache-control": FOREVER })
    if (headers["if-none-match"] === etag) return void response.status(304).send()
    const range = parseRange(headers.range, content.bytes)
    if (range === "none") return outside(headers.range, content, response)
    const { start, end } = range === "whole" ? { start: 0, end: content.bytes } : range
    if (range !== "whole")
      void response.status(206).header("content-range", `bytes ${start}-${end - 1}/${content.bytes}`)
    const body = start === end ? new Uint8Array(0) : content.open(start, end)
    void response
      .header("content-type", BYTES)
      .header("content-length", end - start)
      .send(body instanceof Uint8Array ? Buffer.from(body.buffer, body.byteOffset, body.length) : body)
  }
}

function outside(range: string | undefined, { bytes }: Content, response: FastifyReply): void {
  const message = `expected a range within ${bytes} bytes, got ${range?.slice(0, 100)}`
  void response.status(416).header("content-range", `bytes */${bytes}`).send({ code: "FRAME_MALFORMED", message })
}

function hashOf(text: string): string {
  if (!/^[0-9a-f]{64}$/.test(text))
    throw new LaminaError("FRAME_MALFORMED", "expected a content hash of 64 lower-case hex digits")
  return text
}
