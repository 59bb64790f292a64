import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { once } from "node:events"
import { connect, createServer } from "node:net"
import type { AddressInfo, Server, Socket } from "node:net"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

export interface Line {
  readonly event: string
  readonly [field: string]: unknown
}

/** A child process that prints JSON lines. Tests wait for lines, never for time. */
export class LineProcess {
  readonly lines: Line[] = []
  readonly child: ChildProcess
  readonly #waiting = new Set<() => void>()
  #errors = ""

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    this.child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...env, NODE_OPTIONS: "" } })
    createInterface({ input: this.child.stdout! }).on("line", (line) => {
      this.lines.push(JSON.parse(line) as Line)
      for (const look of this.#waiting) look()
    })
    this.child.stderr!.on("data", (text: Buffer) => (this.#errors += text.toString()))
    this.child.on("close", () => {
      for (const look of this.#waiting) look()
    })
  }

  /** The first line, old or new, that fits; rejects when the process ends without one. */
  line(fits: (line: Line) => boolean): Promise<Line> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = this.lines.find(fits)
        const ended = this.child.exitCode !== null || this.child.signalCode !== null
        if (!found && !ended) return
        this.#waiting.delete(look)
        if (found) resolve(found)
        else
          reject(
            new Error(`the process ended without that line; it said:\n${JSON.stringify(this.lines)}\n${this.#errors}`),
          )
      }
      this.#waiting.add(look)
      look()
    })
  }

  all(event: string): Line[] {
    return this.lines.filter((line) => line.event === event)
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const closed = once(this.child, "close")
    this.child.kill("SIGKILL")
    await closed
  }
}

export const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

export function startClientProcess(options: object, { fileBlocks }: { fileBlocks?: number } = {}): LineProcess {
  const args = [here("client-process.mjs"), JSON.stringify(options)]
  if (fileBlocks === undefined) return new LineProcess(process.execPath, args)
  // soft limit only, so that it can be raised again from outside; bash counts in 1024 bytes
  return new LineProcess("bash", ["-c", `ulimit -S -f ${fileBlocks} && exec "$0" "$@"`, process.execPath, ...args])
}

export interface Coordinator {
  readonly process: LineProcess
  readonly url: string
  readonly port: number
  readonly adminToken: string
}

export async function startCoordinatorProcess(dataDir: string, port = 0): Promise<Coordinator> {
  const process_ = new LineProcess(process.execPath, [here("coordinator-process.mjs"), dataDir, String(port)])
  const { url, port: bound, adminToken } = (await process_.line((line) => "url" in line)) as unknown as Coordinator
  return { process: process_, url, port: bound, adminToken }
}

/** A TCP proxy that stops passing bytes to the coordinator once so many have gone through, until it is opened. */
export class Gate {
  url = ""
  /** Resolves when bytes are held back for the first time. */
  readonly held: Promise<void>
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #waiting: (() => void)[] = []
  #passed = 0
  #limit: number
  #reached: () => void = () => undefined

  constructor(target: { port: number }, limitBytes: number) {
    this.#limit = limitBytes
    this.held = new Promise((resolve) => (this.#reached = resolve))
    this.#server = createServer((from) => this.#join(from, connect(target.port, "127.0.0.1")))
  }

  async start(): Promise<this> {
    this.#server.listen(0, "127.0.0.1")
    await once(this.#server, "listening")
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
    return this
  }

  open(): void {
    this.#limit = Infinity
    for (const go of this.#waiting.splice(0)) go()
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #join(from: Socket, to: Socket): void {
    for (const socket of [from, to]) {
      this.#sockets.add(socket)
      socket.on("error", () => undefined).on("close", () => this.#sockets.delete(socket))
    }
    to.pipe(from)
    from.on("data", (bytes) => {
      this.#passed += bytes.length
      if (this.#passed <= this.#limit) return void to.write(bytes)
      this.#reached()
      from.pause()
      this.#waiting.push(() => (to.write(bytes), from.resume()))
    })
    from.on("close", () => to.destroy())
    to.on("close", () => from.destroy())
  }
}
