import { Controller, Get, Inject, Res } from "@nestjs/common"
import { ApiOkResponse, ApiOperation, ApiProduces, ApiTags } from "@nestjs/swagger"
import type { FastifyReply } from "fastify"

import type { Coordinator } from "../coordinator/coordinator.js"
import type { Metrics } from "../metrics.js"
import { schemas } from "./schemas.js"
import { COORDINATOR, METRICS } from "./tokens.js"

/** For the operator's probes. */
@ApiTags("operation")
@Controller()
export class HealthController {
  constructor(
    @Inject(COORDINATOR) private readonly coordinator: Coordinator,
    @Inject(METRICS) private readonly metrics: Metrics,
  ) {}

  @Get("healthz")
  @ApiOperation({ summary: "200 while the store answers" })
  @ApiOkResponse({ schema: schemas.one("HealthView") })
  async health(): Promise<{ status: "ok"; activeRuns: number; connectedClients: number }> {
    return this.coordinator.views.health()
  }

  @Get("metrics")
  @ApiOperation({ summary: "Figures for Prometheus" })
  @ApiProduces("text/plain")
  async figures(@Res() response: FastifyReply): Promise<void> {
    const { registry } = this.metrics
    void response.header("content-type", registry.contentType).send(await registry.metrics())
  }
}
