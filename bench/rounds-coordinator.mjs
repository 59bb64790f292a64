// A coordinator in a process of its own, for bench/rounds.mjs: what it is asked and what happens in it goes over the
// channel to its parent.
import { startCoordinator } from "@lamina/server"

let coordinator

const answers = {
  start: async (dataDir) => {
    coordinator = await startCoordinator({ dataDir, port: 0, logLevel: "error" })
    for (const name of ["roundOpened", "roundPublished"])
      coordinator.on(name, () => process.send({ event: name, processorMs: processorMs() }))
    return coordinator.url
  },
  createRun: (request) => coordinator.createRun(request),
  run: (id) => coordinator.run(id),
  adapter: async (hash) => Buffer.from(await coordinator.adapter(hash)).toString("base64"),
  used: () => ({ processorMs: processorMs(), peakKiB: process.resourceUsage().maxRSS }),
  close: () => coordinator.close(),
}

function processorMs() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

process.on("message", async ({ id, ask, given }) => {
  process.send({ id, answer: await answers[ask](given) })
  if (ask === "close") process.disconnect()
})
process.send({ loadedProcessorMs: processorMs() })
