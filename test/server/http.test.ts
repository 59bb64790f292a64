import { closeAll, coordinatorOn, joinAll, nextEvent, runRequest } from "./federation.js"

afterEach(closeAll)

interface Document {
  readonly paths: Record<string, Record<string, object>>
  readonly components: { readonly schemas: Record<string, object> }
}

test("the OpenAPI document names every route, and every reference in it leads somewhere", async () => {
  const coordinator = await coordinatorOn()
  const document = (await (await fetch(`${coordinator.url}/openapi.json`)).json()) as Document
  const routes = Object.entries(document.paths).flatMap(([path, verbs]) =>
    Object.keys(verbs).map((verb) => `${verb} ${path}`),
  )
  expect(routes.sort()).toEqual([
    "get /healthz",
    "get /metrics",
    "get /v1/adapters",
    "get /v1/adapters/{hash}",
    "get /v1/bases/{hash}",
    "get /v1/blobs/{hash}",
    "get /v1/clients",
    "get /v1/federations",
    "get /v1/federations/{id}",
    "get /v1/runs",
    "get /v1/runs/{id}",
    "get /v1/runs/{id}/rounds",
    "get /v1/runs/{id}/rounds/{round}",
    "post /v1/runs",
    "post /v1/runs/{id}/cancel",
    "put /v1/uploads/{id}/chunks/{index}",
  ])
  const references = [...JSON.stringify(document).matchAll(/#\/components\/schemas\/(\w+)/g)].map(([, name]) => name!)
  expect(references.length).toBeGreaterThan(10)
  for (const name of references) expect(Object.keys(document.components.schemas)).toContain(name)
  expect(document.components.schemas.RunRequest).toMatchObject({ required: ["recipe", "base", "modules"] })
})

test("a round is shown with its cohort: who waits, who was accepted, how far everybody is", async () => {
  const coordinator = await coordinatorOn()
  const { id: run } = await coordinator.createRun(runRequest())
  const [north, south] = await joinAll(coordinator, "north", "south")
  const task = await north!.task(run)
  await north!.submit(task, north!.seal(task, { weight: 21 }))
  await south!.report({ runId: run, round: 1, phase: "training", step: 3, steps: 20, loss: 2.25, tokensPerSecond: 50 })
  const shown = (await (await fetch(`${coordinator.url}/v1/runs/${run}/rounds/1`)).json()) as {
    members: { client: string }[]
  }
  expect(shown).toMatchObject({ round: 1, state: "collecting", cohort: 2, accepted: 1, quorum: 1 })
  const members = Object.fromEntries(shown.members.map((member) => [member.client, member]))
  expect(members.north).toMatchObject({
    status: "accepted",
    weight: 21,
    metrics: { loss: 2.5 },
    rank: 2,
    precision: "q8",
  })
  expect(members.south).toMatchObject({
    status: "waiting",
    progress: { phase: "training", step: 3, steps: 20, loss: 2.25 },
  })
  const list = (await (await fetch(`${coordinator.url}/v1/runs/${run}/rounds`)).json()) as unknown[]
  expect(list).toEqual([shown])
})

test("progress is told to observers; that of a round nobody is in is dropped", async () => {
  const coordinator = await coordinatorOn()
  const { id: run } = await coordinator.createRun(runRequest())
  const [north] = await joinAll(coordinator, "north", "south")
  await north!.task(run)
  const heard: unknown[] = []
  coordinator.on("progress", (event) => heard.push(event))
  coordinator.on("progress", () => {
    throw new Error("an observer that fails harms nobody")
  })
  const progress = { runId: run, phase: "training", steps: 20, loss: 1, tokensPerSecond: 5 }
  await north!.report({ ...progress, round: 7, step: 1 })
  await north!.report({ ...progress, round: 1, step: 2 })
  expect(heard).toMatchObject([{ client: "north", round: 1, step: 2 }])
})

test("metrics count answers and rounds, in Prometheus' format", async () => {
  const coordinator = await coordinatorOn()
  const { id: run } = await coordinator.createRun(runRequest())
  const [north, south] = await joinAll(coordinator, "north", "south")
  const ended = nextEvent(coordinator, "runEnded")
  for (const client of [north!, south!]) {
    const task = await client.task(run)
    await client.submit(task)
  }
  await ended
  const response = await fetch(`${coordinator.url}/metrics`)
  expect(response.headers.get("content-type")).toMatch(/^text\/plain/)
  const text = await response.text()
  expect(text).toContain(`lamina_updates_total{status="ACCEPTED"} 2`)
  expect(text).toContain(`lamina_rounds_total{outcome="published"} 1`)
  expect(text).toContain("lamina_connected_clients 2")
  expect(text).toMatch(/lamina_request_seconds_count\{event="upload.commit"\} 2/)
})

test("paths that are not there, and runs that are not, answer 404 with a code", async () => {
  const coordinator = await coordinatorOn()
  for (const path of [
    "/v1/nothing",
    "/v1/runs/none",
    "/v1/runs/none/rounds",
    "/v1/runs/none/rounds/1",
    "/v1/federations/none",
  ]) {
    const response = await fetch(`${coordinator.url}${path}`)
    expect([path, response.status, ((await response.json()) as { code: string }).code]).toEqual([
      path,
      404,
      "NOT_FOUND",
    ])
  }
})

interface Refused {
  readonly status: number
  readonly body: { readonly code?: string; readonly message?: string }
}

async function refused(url: string, init: RequestInit = {}): Promise<Refused> {
  const response = await fetch(url, init)
  return { status: response.status, body: (await response.json()) as Refused["body"] }
}

test("what fastify refuses by itself, before a route or a body is looked at, has a code as well", async () => {
  const { url } = await coordinatorOn()
  for (const path of ["/v1/runs/%zz", `/v1/runs/${"a".repeat(200)}`]) {
    const { status, body } = await refused(`${url}${path}`)
    expect({ path, status, code: body.code }).toEqual({ path, status: 400, code: "FRAME_MALFORMED" })
    expect(body.message).toContain(path.slice(0, 100))
  }
  expect(await (await fetch(`${url}/metrics`)).text()).toContain(`lamina_refused_total{code="FRAME_MALFORMED"} 2`)
})

test.each([
  ["a form", "application/x-www-form-urlencoded"],
  ["plain text", "text/plain"],
  ["XML", "text/xml"],
])("a run that comes as %s is refused with what its content type should be", async (_, type) => {
  const { url, adminToken } = await coordinatorOn()
  const headers = { authorization: `Bearer ${adminToken}`, "content-type": type }
  const { status, body } = await refused(`${url}/v1/runs`, { method: "POST", headers, body: "{}" })
  expect([status, body.code]).toEqual([400, "FRAME_MALFORMED"])
  expect(body.message).toMatch(new RegExp(`application/json.*${type}`))
})

test("a range outside is 416 with a code, one inside 206, and both are in the OpenAPI document", async () => {
  const coordinator = await coordinatorOn()
  const { url, adminToken } = coordinator
  const { id: run } = await coordinator.createRun(runRequest())
  const ended = nextEvent(coordinator, "roundPublished")
  for (const client of await joinAll(coordinator, "north", "south")) await client.submit(await client.task(run))
  const { adapterHash } = await ended
  const at = (range: string) => ({ headers: { authorization: `Bearer ${adminToken}`, range } })
  const adapter = `${url}/v1/adapters/${adapterHash}`
  expect((await fetch(adapter, at("bytes=0-1"))).status).toBe(206)
  expect(await refused(adapter, at("bytes=9999999-"))).toEqual({
    ...{ status: 416, body: { code: "FRAME_MALFORMED", message: expect.stringContaining("bytes=9999999-") as string } },
  })
  const { paths, components } = (await (await fetch(`${url}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { responses: Record<string, object> }>>
    components: { securitySchemes: Record<string, object> }
  }
  const json = { "application/json": { schema: { $ref: "#/components/schemas/Failure" } } }
  for (const verbs of Object.values(paths))
    for (const { responses } of Object.values(verbs)) expect(responses.default).toMatchObject({ content: json })
  for (const kind of ["adapters", "bases", "blobs"]) {
    const { responses } = paths[`/v1/${kind}/{hash}`]!.get!
    expect(Object.keys(responses)).toEqual(expect.arrayContaining(["200", "206", "416"]))
    expect(responses["416"]).toMatchObject({ content: json })
  }
  expect(components.securitySchemes.bearer).toEqual({ type: "http", scheme: "bearer", bearerFormat: "opaque" })
})
