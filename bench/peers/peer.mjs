// The Python side of a comparison: one process that trains when it is asked to, so that both sides take turns.
import { spawn } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

const script = fileURLToPath(new URL("peft_train.py", import.meta.url))

/** The interpreter that has torch, transformers and peft. */
export function peersPython() {
  const python = process.env.PEERS_PYTHON
  if (python === undefined || !existsSync(python))
    throw new Error(
      `--peers: expected PEERS_PYTHON to name a Python with torch, transformers and peft, got ${python ?? "nothing"}`,
    )
  return python
}

/** tcmalloc where Debian or Ubuntu put it: PyTorch is up to a third faster with it. */
export function tcmalloc() {
  const folder = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`
  const file = existsSync(folder)
    ? readdirSync(folder).find((name) => name.startsWith("libtcmalloc_minimal.so."))
    : undefined
  return file && `${folder}/${file}`
}

/** Starts the peer with these arguments; resolves when it is warm. */
export async function startPeer(args) {
  const preload = tcmalloc()
  const child = spawn(peersPython(), [script, ...args], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, ...(preload === undefined ? {} : { LD_PRELOAD: preload }) },
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const answer = async () => {
    const { value, done } = await lines.next()
    if (done) throw new Error(`the peer ended early (${args.join(" ")})`)
    return JSON.parse(value)
  }
  const ready = await answer()
  return {
    ready,
    /** Seconds of each of `steps` steps, and the peak memory of its process so far. */
    async train(steps) {
      child.stdin.write(`${steps}\n`)
      return answer()
    },
    stop: () => child.stdin.end(),
  }
}
