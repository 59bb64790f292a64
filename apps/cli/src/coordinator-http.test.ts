import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

import { askCoordinator, coordinatorUrl } from "./coordinator-http.js"

test("a call goes behind the path of the address, and an answer that is no JSON is an error that says so", async () => {
  const server = createServer((request, response) => response.end(request.url === "/lamina/v1/runs" ? "[]" : "<html>"))
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  for (const path of ["/lamina", "/lamina/"])
    expect(await askCoordinator(coordinatorUrl(`${address}${path}`), "v1/runs", {})).toEqual([])
  await expect(askCoordinator(coordinatorUrl(address), "v1/runs", {})).rejects.toMatchObject({
    code: "COORDINATOR_UNREACHABLE",
    message: `${address}/v1/runs: expected JSON, got none`,
  })
  server.close()
})

test.each(["http://", "http://x:99999", "localhost:7700", "x", "http://x/?a=1"])("%s is no address", (text) => {
  expect(() => coordinatorUrl(text)).toThrow("coordinator: expected a URL such as http://host:7700, got")
})
