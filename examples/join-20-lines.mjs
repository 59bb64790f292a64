// Trains in a federation until its run ends: node examples/join-20-lines.mjs http://HOST:PORT DATA.txt [NAME]
import { LaminaClient } from "@lamina/client"

const [coordinator, data, name] = process.argv.slice(2)
const client = new LaminaClient({ coordinator, data, name })

client.on("connected", ({ clientId }) => console.log(`connected as ${clientId}`))
client.on("task", ({ round, steps }) => console.log(`round ${round}: ${steps} steps`))
client.on("progress", ({ step, loss }) => console.log(`  step ${step}: loss ${loss.toFixed(3)}`))
client.on("receipt", ({ round, status }) => console.log(`round ${round}: ${status}`))
client.on("reconnecting", ({ cause }) => console.log(`connection lost: ${cause}`))

const leaving = new AbortController()
process.once("SIGINT", () => leaving.abort())

const { reason, state, globalAdapterHash } = await client.participate({ signal: leaving.signal })
console.log(reason === "left" ? "left" : `the run is ${state}; its adapter is ${globalAdapterHash}`)
