import { createHash } from "node:crypto"
import { createServer } from "node:http"
import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

/** What the hub does wrong or asks for; a test changes it while the hub runs. */
interface HubBehaviour {
  /**
   * Bytes after which an answer of the storage stands still until `cut`, one entry per request; none left: never. 0 is
   * cut at once.
   */
  cuts: number[]
  /** The storage ignores ranges. */
  withoutRanges: boolean
  /** The storage answers a range with 416. */
  refusesRanges: boolean
  /** Bytes of these paths come changed; `more` says how many of such answers are left. */
  corrupt: { path: string; more: number } | undefined
  /** Anyone without it is sent away. */
  token: string | undefined
  gated: boolean
  /** Answers 429 or 503 that come first. */
  failures: { status: number; retryAfter?: string }[]
  /** Replaces the description of every repository. */
  description: string | undefined
}

/** A request as it came. */
interface SeenRequest {
  readonly host: "hub" | "storage"
  readonly url: string
  readonly range: string | undefined
  readonly authorization: string | undefined
}

/** A hub on a free port, with its files on another: real sockets, the API of huggingface.co. */
export class HubServer {
  readonly behaviour: HubBehaviour = {
    ...{ cuts: [], withoutRanges: false, refusesRanges: false, corrupt: undefined },
    ...{ token: undefined, gated: false, failures: [], description: undefined },
  }
  readonly seen: SeenRequest[] = []
  readonly commit = "0123456789abcdef0123456789abcdef01234567"
  readonly #hub: Server
  readonly #storage: Server
  readonly #held: ServerResponse[] = []
  readonly #files = new Map<string, Buffer>()

  private constructor(readonly repo: string) {
    this.#hub = createServer((request, response) => this.#answerHub(request, response))
    this.#storage = createServer((request, response) => this.#answerStorage(request, response))
  }

  static async start(repo: string, files: Readonly<Record<string, Buffer | string>>): Promise<HubServer> {
    const server = new HubServer(repo)
    for (const [path, content] of Object.entries(files)) server.#files.set(path, Buffer.from(content))
    for (const each of [server.#hub, server.#storage])
      await new Promise<void>((resolve) => each.listen(0, "127.0.0.1", resolve))
    return server
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#hub.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    for (const each of [this.#hub, this.#storage]) {
      each.closeAllConnections()
      await new Promise((resolve) => each.close(resolve))
    }
  }

  #answerHub(request: IncomingMessage, response: ServerResponse): void {
    this.#see("hub", request)
    const { behaviour } = this
    const failure = behaviour.failures.shift()
    if (failure !== undefined) {
      if (failure.retryAfter !== undefined) response.setHeader("retry-after", failure.retryAfter)
      return void response.writeHead(failure.status).end()
    }
    if (behaviour.token !== undefined && request.headers.authorization !== `Bearer ${behaviour.token}`) {
      if (behaviour.gated) response.setHeader("x-error-code", "GatedRepo")
      return void response.writeHead(behaviour.gated ? 403 : 401).end()
    }
    const { pathname } = new URL(request.url ?? "", "http://hub")
    if (pathname === `/api/models/${this.repo}/revision/main`) return void response.end(this.#description())
    const path = this.#pathOf(pathname)
    if (path === undefined) return void response.writeHead(404).end()
    const { port } = this.#storage.address() as AddressInfo
    response.writeHead(302, { location: `http://127.0.0.1:${port}/${path}?signed=1` }).end()
  }

  #description(): string {
    const siblings = [...this.#files].map(([path, content]) => {
      const lfs = /\.(safetensors|gguf)$/.test(path)
      const git = createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex")
      const sha256 = createHash("sha256").update(content).digest("hex")
      return {
        ...{ rfilename: path, size: content.length, blobId: lfs ? "0".repeat(40) : git },
        ...(lfs ? { lfs: { sha256, size: content.length, pointerSize: 134 } } : {}),
      }
    })
    return this.behaviour.description ?? JSON.stringify({ id: this.repo, sha: this.commit, siblings })
  }

  #pathOf(pathname: string): string | undefined {
    const prefix = `/${this.repo}/resolve/${this.commit}/`
    const path = decodeURIComponent(pathname.slice(prefix.length))
    return pathname.startsWith(prefix) && this.#files.has(path) ? path : undefined
  }

  #answerStorage(request: IncomingMessage, response: ServerResponse): void {
    this.#see("storage", request)
    const path = decodeURIComponent(new URL(request.url ?? "", "http://storage").pathname.slice(1))
    const content = Buffer.from(this.#files.get(path) ?? "")
    const { behaviour } = this
    if (behaviour.corrupt?.path === path && behaviour.corrupt.more-- > 0) content[0] = (content[0] ?? 0) ^ 1
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0)
    if (from > 0 && behaviour.refusesRanges) return void response.writeHead(416).end()
    const start = behaviour.withoutRanges ? 0 : from
    const body = content.subarray(start)
    const ranged = start > 0 ? { "content-range": `bytes ${start}-${content.length - 1}/${content.length}` } : {}
    response.writeHead(start > 0 ? 206 : 200, { "content-length": body.length, ...ranged })
    const cut = behaviour.cuts.shift()
    if (cut === undefined) return void response.end(body)
    if (cut === 0) return void response.destroy()
    response.write(body.subarray(0, cut))
    this.#held.push(response)
  }

  /** Cuts the connections that stand still. */
  cut(): void {
    for (const response of this.#held.splice(0)) response.destroy()
  }

  #see(host: "hub" | "storage", { url = "", headers }: IncomingMessage): void {
    this.seen.push({ host, url, range: headers.range, authorization: headers.authorization })
  }
}
