import { Body, Controller, Get, Headers, HttpCode, Inject, Param, Post } from "@nestjs/common"
import {
  ApiBearerAuth,
  ApiBody,
  ApiCreatedResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiTags,
} from "@nestjs/swagger"

import { LaminaError } from "@lamina/protocol/errors"

import type { Coordinator } from "../coordinator/coordinator.js"
import { parseRunRequest } from "../coordinator/run-request.js"
import type { RunSummary } from "../coordinator/run-book.js"
import type { RoundView } from "../coordinator/views.js"
import type { Access } from "./access.js"
import { schemas } from "./schemas.js"
import { ACCESS, COORDINATOR } from "./tokens.js"

/** Runs and their rounds, as JSON. */
@ApiTags("runs")
@Controller("v1/runs")
export class RunsController {
  constructor(
    @Inject(COORDINATOR) private readonly coordinator: Coordinator,
    @Inject(ACCESS) private readonly access: Access,
  ) {}

  @Post()
  @ApiBearerAuth()
  @ApiOperation({ summary: "Start a run; the base folder is on the coordinator's disk" })
  @ApiBody({ schema: schemas.one("RunRequest") })
  @ApiCreatedResponse({ schema: schemas.one("RunView") })
  async create(
    @Headers("authorization") authorization: string | undefined,
    @Headers("content-type") contentType: string | undefined,
    @Body() body: unknown,
  ): Promise<RunSummary> {
    this.access.admin(authorization)
    checkJson(contentType)
    const id = await this.coordinator.createRun(parseRunRequest(body))
    return this.coordinator.views.run(id)
  }

  @Post(":id/cancel")
  @HttpCode(200)
  @ApiBearerAuth()
  @ApiOperation({ summary: "End a run; its open round is abandoned" })
  @ApiParam({ name: "id", schema: { type: "string" } })
  @ApiOkResponse({ schema: schemas.one("RunView") })
  async cancel(
    @Headers("authorization") authorization: string | undefined,
    @Param("id") id: string,
  ): Promise<RunSummary> {
    this.access.admin(authorization)
    await this.coordinator.cancelRun(id)
    return this.coordinator.views.run(id)
  }

  @Get()
  @ApiOperation({ summary: "All runs, oldest first" })
  @ApiOkResponse({ schema: schemas.list("RunView") })
  runs(@Headers("authorization") authorization: string | undefined): RunSummary[] {
    this.access.reader(authorization)
    return this.coordinator.views.runs()
  }

  @Get(":id")
  @ApiOperation({ summary: "One run" })
  @ApiParam({ name: "id", schema: { type: "string" } })
  @ApiOkResponse({ schema: schemas.one("RunView") })
  run(@Headers("authorization") authorization: string | undefined, @Param("id") id: string): RunSummary {
    this.access.reader(authorization)
    return this.coordinator.views.run(id)
  }

  @Get(":id/rounds")
  @ApiOperation({ summary: "The rounds of a run, in order" })
  @ApiParam({ name: "id", schema: { type: "string" } })
  @ApiOkResponse({ schema: schemas.list("RoundView") })
  rounds(@Headers("authorization") authorization: string | undefined, @Param("id") id: string): Promise<RoundView[]> {
    this.access.reader(authorization)
    return this.coordinator.views.rounds(id)
  }

  @Get(":id/rounds/:round")
  @ApiOperation({ summary: "One round with its cohort" })
  @ApiParam({ name: "id", schema: { type: "string" } })
  @ApiParam({ name: "round", schema: { type: "integer" } })
  @ApiOkResponse({ schema: schemas.one("RoundView") })
  round(
    @Headers("authorization") authorization: string | undefined,
    @Param("id") id: string,
    @Param("round") round: string,
  ): Promise<RoundView> {
    this.access.reader(authorization)
    if (!/^\d{1,9}$/.test(round))
      throw new LaminaError("FRAME_MALFORMED", `expected the number of a round, got "${round.slice(0, 20)}"`)
    return this.coordinator.views.round(id, Number(round))
  }
}

/** Forms and text are parsed as well, into something that no recipe is in. */
function checkJson(contentType: string | undefined): void {
  if (/^application\/json\s*(;|$)/i.test(contentType ?? "")) return
  const got = contentType?.slice(0, 100) ?? "none"
  throw new LaminaError("FRAME_MALFORMED", `expected a body with content-type: application/json, got ${got}`)
}
