import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../..", import.meta.url))
export const bin = join(root, "apps/cli/bin/lamina.js")

export function temporaryFolder(name: string): string {
  return mkdtempSync(join(tmpdir(), `lamina-${name}-`))
}

export interface Finished {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** One `lamina` command in a process of its own, with its output kept. */
export class LaminaProcess {
  readonly finished: Promise<Finished>
  readonly #child: ChildProcess
  #stdout = ""
  #stderr = ""
  readonly #waiting = new Set<() => void>()

  constructor(
    args: readonly string[],
    options: { cwd?: string; env?: Record<string, string>; input?: string; keepOpen?: boolean } = {},
  ) {
    this.#child = spawn(process.execPath, [bin, ...args], {
      cwd: options.cwd ?? root,
      stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      env: { ...process.env, NODE_OPTIONS: "", ...options.env },
    })
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => this.#grow(text, ""))
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => this.#grow("", text))
    if (options.input !== undefined) this.write(options.input)
    if (!options.keepOpen) this.#child.stdin?.end()
    this.finished = new Promise((resolve, reject) => {
      this.#child.once("error", reject)
      this.#child.once("close", (status) => {
        resolve({ status, stdout: this.#stdout, stderr: this.#stderr })
        for (const wake of this.#waiting) wake()
      })
    })
  }

  /** Resolves with the first match in stdout or stderr; fails with all output when the process ends before. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#stdout) ?? pattern.exec(this.#stderr)
      if (match) return match
      if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        throw new Error(`ended before ${pattern}:\n${this.#stdout}\n${this.#stderr}`)
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  /** More for stdin. */
  write(text: string): void {
    this.#child.stdin?.write(text)
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  #grow(out: string, err: string): void {
    this.#stdout += out
    this.#stderr += err
    const woken = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of woken) wake()
  }
}

/** Runs a command to its end. */
export function lamina(...args: string[]): Promise<Finished> {
  return new LaminaProcess(args).finished
}

/** The object of `--json`: the last line of stdout. */
export function lastJson<T>(finished: Finished): T {
  const line = finished.stdout.trimEnd().split("\n").at(-1) ?? ""
  try {
    return JSON.parse(line) as T
  } catch (cause) {
    throw new Error(`no JSON in the last line of stdout; stderr:\n${finished.stderr}`, { cause })
  }
}
