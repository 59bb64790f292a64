import { LaminaClient, nameOf } from "./client.js"

const usage = expect.objectContaining({ code: "USAGE" })

test("options that cannot be meant are refused at once, with what was expected", () => {
  const data = "a.txt"
  for (const coordinator of ["", "localhost", "ftp://x", "ws://x", "http://x/?a=1"])
    expect(() => new LaminaClient({ coordinator, data })).toThrow(usage)
  for (const options of [{ name: "With Spaces" }, { name: "" }, { rank: 0 }, { rank: 1.5 }, { rank: 1025 }])
    expect(() => new LaminaClient({ coordinator: "http://x", data, ...options })).toThrow(usage)
  expect(new LaminaClient({ coordinator: "https://x:1/lamina", data, name: "a-1", rank: 1024 })).toBeDefined()
})

test("a host name becomes a client name", () => {
  expect(nameOf("Anna's MacBook.local")).toBe("anna-s-macbook-local")
  expect(nameOf("_____")).toBe("client")
  expect(nameOf("x".repeat(80))).toHaveLength(63)
})

test("a client that is told to leave before it began leaves, without a network or a disk", async () => {
  const client = new LaminaClient({ coordinator: "http://127.0.0.1:1", data: "/nowhere.txt" })
  const ended: unknown[] = []
  client.on("ended", (event) => ended.push(event))
  expect(await client.participate({ signal: AbortSignal.abort() })).toMatchObject({ reason: "left", rounds: [] })
  expect(ended).toHaveLength(1)
})
