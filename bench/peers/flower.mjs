// npm run bench -- rounds --peers: the same sizes in Flower's simulation, in a process of its own each, after Lamina's.
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"

const script = fileURLToPath(new URL("flower_rounds.py", import.meta.url))

/** The interpreter that has flwr[simulation]. */
function flowerPython() {
  const python = process.env.PEERS_FLOWER_PYTHON
  if (python === undefined || !existsSync(python))
    throw new Error(
      `--peers: expected PEERS_FLOWER_PYTHON to name a Python with flwr[simulation], got ${python ?? "nothing"}`,
    )
  return python
}

/** Runs Flower on every [clients, bytes, rounds] and reports its figures under names like ours. */
export function compareRounds(table, report) {
  const python = flowerPython()
  for (const [clients, bytes, rounds] of table) {
    const sizes = [clients, bytes, rounds].map(String)
    const stdio = ["ignore", "pipe", "ignore"] // its log says a line per client
    const output = execFileSync(python, [script, ...sizes], { encoding: "utf8", stdio })
    const figures = JSON.parse(output.trim().split("\n").at(-1))
    const name = `flower/${clients}x${bytes >= 1 << 20 ? `${bytes >> 20}MiB` : `${bytes >> 10}KiB`}`
    report(`${name}/start-to-first-round`, figures.start_s, "s")
    report(`${name}/start-to-first-round-done`, figures.start_s + figures.first_round_s, "s")
    report(`${name}/per-client`, figures.ms_per_client, "ms")
    report(`${name}/peak-memory`, figures.peak_mib, "MiB")
  }
}
