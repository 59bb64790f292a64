// A coordinator in a process of its own, to be killed: node coordinator-process.mjs DATA_DIR. Prints one line of JSON
// when it listens.
import { startCoordinator } from "@lamina/server"

const coordinator = await startCoordinator({ dataDir: process.argv[2], port: 0, logLevel: "error", tickMs: 20 })
console.log(JSON.stringify({ url: coordinator.url, adminToken: coordinator.adminToken }))
