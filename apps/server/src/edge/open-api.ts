import type { NestFastifyApplication } from "@nestjs/platform-fastify"
import { DocumentBuilder, SwaggerModule } from "@nestjs/swagger"
import type { OpenAPIObject } from "@nestjs/swagger"

import { components, schemas } from "./schemas.js"

const FAILURE_BODY = { content: { "application/json": { schema: schemas.one("Failure") } } }
/** Every route may answer so; the status is that of the code. */
const FAILURE = { description: "a refusal or a failure; codes are in docs/errors.md", ...FAILURE_BODY }

/** /openapi.json and /docs; the document is made when somebody first asks for it. */
export function serveOpenApi(app: NestFastifyApplication, software: string): void {
  SwaggerModule.setup("docs", app, () => document(app, software), {
    jsonDocumentUrl: "openapi.json",
    yamlDocumentUrl: "openapi.yaml",
  })
}

function document(app: NestFastifyApplication, software: string): OpenAPIObject {
  const options = new DocumentBuilder()
    .setTitle("Lamina coordinator")
    .setDescription(
      "Federations, runs and rounds as JSON, bulk bytes by content hash. Clients use the socket: docs/protocol.md.",
    )
    .setVersion(software)
    .addBearerAuth({ type: "http", bearerFormat: "opaque" })
    .build()
  const made = SwaggerModule.createDocument(app, options)
  for (const path of Object.values(made.paths))
    for (const { responses } of Object.values(path) as { responses: Record<string, object> }[]) {
      responses.default = FAILURE
      if (responses["416"]) responses["416"] = { ...responses["416"], ...FAILURE_BODY }
    }
  return { ...made, components: { ...made.components, schemas: components() } } as OpenAPIObject
}
