// A coordinator in a process of its own, to be killed and started again where it was: node coordinator-process.mjs
// DATA_DIR PORT.
import { startCoordinator } from "@lamina/server"

const [dataDir, port] = process.argv.slice(2)
const coordinator = await startCoordinator({ dataDir, port: Number(port), logLevel: "error", tickMs: 20 })
console.log(JSON.stringify({ url: coordinator.url, port: coordinator.port, adminToken: coordinator.adminToken }))
