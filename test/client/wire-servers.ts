import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { WireServer } from "./wire-server.js"
import type { WireOptions } from "./wire-server.js"

/** The servers and the folder of every test of a file, which go when it ends. */
export class WireServers {
  #folder = ""
  readonly #servers: WireServer[] = []

  constructor(name: string) {
    beforeEach(async () => {
      this.#folder = await mkdtemp(join(tmpdir(), `lamina-${name}-`))
    })
    afterEach(async () => {
      for (const server of this.#servers.splice(0)) await server.stop()
      await rm(this.#folder, { recursive: true, force: true })
    })
  }

  get folder(): string {
    return this.#folder
  }

  async serve(options: WireOptions = {}): Promise<WireServer> {
    const server = await new WireServer(options).start()
    this.#servers.push(server)
    return server
  }
}
