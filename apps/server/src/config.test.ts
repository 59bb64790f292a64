import { readConfig } from "./config.js"

test("options win over the environment, the environment over the defaults", () => {
  const env = { LAMINA_DATA_DIR: "/from/env", LAMINA_PORT: "8080", LAMINA_LOG_LEVEL: "debug" }
  expect(readConfig({ port: 0 }, env)).toMatchObject({
    dataDir: "/from/env",
    port: 0,
    logLevel: "debug",
    host: "127.0.0.1",
  })
  expect(readConfig({ dataDir: "/given", port: undefined }, {})).toMatchObject({ dataDir: "/given", port: 7_700 })
})

test("wrong options are named, all of them", () => {
  expect(() => readConfig({ dataDir: "/d", port: 70_000, logLevel: "loud" as never }, {})).toThrow(
    /port: [^]*logLevel: /,
  )
  expect(() => readConfig({}, {})).toThrow(/dataDir/)
  expect(() => readConfig({ dataDir: "/d", joinToken: "secret" }, {})).toThrow(
    /^joinToken: expected 8 to 200 characters, got another length$/,
  )
  expect(() => readConfig({ dataDir: "/d" }, { LAMINA_PORT: "http" })).toThrow(/port/)
  expect(() => readConfig({ dataDir: "/d", datadir: "/e" } as never, {})).toThrow(/datadir/)
})
