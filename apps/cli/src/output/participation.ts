import type { LaminaClient } from "@lamina/client"

import { counted } from "./counted.js"
import type { FederationView } from "./progress.js"

/** Shows what a client goes through. A wait is a line when it begins and when its reason is another, not every time. */
export function showParticipation(client: Pick<LaminaClient, "on">, view: FederationView, name: string): void {
  let waiting: string | undefined
  const goesOn = (): void => {
    waiting = undefined
  }
  client.on("connected", ({ coordinator }) => view.note(`connected to ${coordinator} as ${name}`))
  client.on("reconnecting", goesOn)
  client.on("reconnecting", ({ cause, inMs }) =>
    view.note(`connection lost (${cause}); again in ${(inMs / 1000).toFixed(1)} s`),
  )
  client.on("waiting", ({ reason }) => {
    if (reason !== waiting) view.note(`waiting: ${reason} (Ctrl-C leaves)`)
    waiting = reason
  })
  client.on("task", goesOn)
  client.on("task", ({ round, steps }) => view.note(`round ${round}: ${counted(steps, "step")}`))
  client.on("task", () => view.start([name]))
  client.on("progress", ({ step, steps, loss }) => view.training(name, { step, steps, loss }))
  client.on("receipt", ({ status }) => view.receipt(name, status))
  client.on("retrying", ({ what, error }) => view.note(`${what}: ${error.message}; trying again`))
  client.on("round", ({ round, outcome, code, reason }) => {
    if (code === undefined && outcome !== "missed") return
    view.note(`round ${round}: ${outcome}${code ? ` (${code})` : ""}${reason ? `: ${reason}` : ""}`)
  })
}
