import { readFileSync } from "node:fs"
import { join } from "node:path"

import { LaminaProcess } from "./lamina-process.js"

/** Ends the simulation whenever its history has grown by so many lines, and starts it again, until it is through. */
export async function stoppedAgainAndAgain(
  recipe: string,
  out: string,
  { every, signal }: { every: number; signal: NodeJS.Signals },
): Promise<number> {
  for (let kills = 0; ; kills++) {
    const before = historyLines(out)
    const running = new LaminaProcess(["simulate", recipe, "--out", out])
    const timer = setInterval(() => {
      if (historyLines(out) < before + every) return
      clearInterval(timer)
      running.kill(signal)
    }, 5)
    const { status } = await running.finished
    clearInterval(timer)
    if (status === 0) return kills
    if (kills > 20) throw new Error(`a simulation that gets ${signal} does not come forward`)
  }
}

/** Lines of a simulation's history so far. */
export function historyLines(out: string): number {
  try {
    return readFileSync(join(out, "history.jsonl"), "utf8").split("\n").length - 1
  } catch {
    return 0
  }
}
