// A coordinator in a process of its own, for bench/rounds.mjs: what it is asked and what happens in it goes over the
// channel to its parent.
import { startCoordinator } from "@lamina/server"

const [dataDir] = process.argv.slice(2)
const coordinator = await startCoordinator({ dataDir, port: 0, logLevel: "error" })

const answers = {
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

for (const name of ["roundOpened", "roundPublished"])
  coordinator.on(name, () => process.send({ event: name, processorMs: processorMs() }))
process.on("message", async ({ id, ask, given }) => {
  process.send({ id, answer: await answers[ask](given) })
  if (ask === "close") process.disconnect()
})
process.send({ url: coordinator.url })
