import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import { connect } from "node:net"
import { fileURLToPath } from "node:url"

import { emptyFolder } from "./federation.js"

const script = fileURLToPath(new URL("./coordinator-process.mjs", import.meta.url))
/** More than Node lets wait by default (511). */
const CLIENTS = 700

/** How many connections the system lets wait; 0 where it does not say. */
function waitingMax(): number {
  const path = "/proc/sys/net/core/somaxconn"
  return existsSync(path) ? Number(readFileSync(path, "utf8")) : 0
}

const whereTold = waitingMax() >= CLIENTS ? test : test.skip

whereTold("clients that come all at once find a coordinator that has no time for them yet", async () => {
  const coordinator = spawn(process.execPath, [script, emptyFolder()], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, NODE_OPTIONS: "" },
  })
  const [line] = (await once(coordinator.stdout, "data")) as [Buffer]
  const { hostname, port } = new URL((JSON.parse(line.toString()) as { url: string }).url)
  coordinator.kill("SIGSTOP")
  const sockets = Array.from({ length: CLIENTS }, () => connect(Number(port), hostname))
  try {
    // one that found no place would never be told while the process stands still
    await Promise.all(sockets.map((socket) => once(socket, "connect")))
  } finally {
    for (const socket of sockets) socket.destroy()
    coordinator.kill("SIGKILL")
    await once(coordinator, "close")
  }
})
