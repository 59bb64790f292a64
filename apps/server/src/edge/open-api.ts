import type { NestFastifyApplication } from "@nestjs/platform-fastify"
import { DocumentBuilder, SwaggerModule } from "@nestjs/swagger"
import type { OpenAPIObject } from "@nestjs/swagger"

import { components } from "./schemas.js"

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
    .addBearerAuth()
    .build()
  const made = SwaggerModule.createDocument(app, options)
  return { ...made, components: { ...made.components, schemas: components() } } as OpenAPIObject
}
