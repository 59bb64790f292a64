import { Controller, Get, Headers, Inject, Param } from "@nestjs/common"
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from "@nestjs/swagger"

import { LaminaError } from "@lamina/protocol/errors"

import type { Coordinator } from "../coordinator/coordinator.js"
import type { AdapterView, ClientView, FederationView } from "../coordinator/views.js"
import type { Access } from "./access.js"
import { schemas } from "./schemas.js"
import { ACCESS, COORDINATOR } from "./tokens.js"

/** What the federation is and who is in it, as JSON. */
@ApiTags("federation")
@Controller("v1")
export class FederationController {
  constructor(
    @Inject(COORDINATOR) private readonly coordinator: Coordinator,
    @Inject(ACCESS) private readonly access: Access,
  ) {}

  @Get("federations")
  @ApiOperation({ summary: "The federations of this coordinator (one)" })
  @ApiOkResponse({ schema: schemas.list("FederationView") })
  federations(@Headers("authorization") authorization: string | undefined): FederationView[] {
    this.access.reader(authorization)
    return [this.coordinator.views.federation()]
  }

  @Get("federations/:id")
  @ApiOperation({ summary: "One federation" })
  @ApiParam({ name: "id", schema: { type: "string" } })
  @ApiOkResponse({ schema: schemas.one("FederationView") })
  federation(@Headers("authorization") authorization: string | undefined, @Param("id") id: string): FederationView {
    this.access.reader(authorization)
    const federation = this.coordinator.views.federation()
    if (federation.id !== id) throw new LaminaError("NOT_FOUND", `expected federation ${federation.id}, got another`)
    return federation
  }

  @Get("clients")
  @ApiOperation({ summary: "Every client that ever opened a session" })
  @ApiOkResponse({ schema: schemas.list("ClientView") })
  clients(@Headers("authorization") authorization: string | undefined): Promise<ClientView[]> {
    this.access.reader(authorization)
    return this.coordinator.views.clients()
  }

  @Get("adapters")
  @ApiOperation({ summary: "Every global adapter published" })
  @ApiOkResponse({ schema: schemas.list("AdapterView") })
  adapters(@Headers("authorization") authorization: string | undefined): Promise<AdapterView[]> {
    this.access.reader(authorization)
    return this.coordinator.views.adapters()
  }
}
