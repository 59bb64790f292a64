import type { ClientPlan } from "@lamina/planner"

import { counted } from "../output/counted.js"

/** Linears of a base by block: what a plan is drawn on. */
interface AdapterGrid {
  /** Linears of a block in the base's order, short where that is unique: q, gate; attn.c_proj. */
  readonly linears: readonly string[]
  readonly layers: number
  /** Rank of a linear in a block; 0: no adapter. */
  readonly rank: (linear: string, layer: number) => number
}

/** A module's name as block and linear; undefined for one outside all blocks. */
function placeOf(name: string): { layer: number; path: string } | undefined {
  const match = /\.(\d+)\.(.+)$/.exec(name)
  return match ? { layer: Number(match[1]), path: match[2] as string } : undefined
}

/** `names`: all modules that may get an adapter. */
export function adapterGrid(names: readonly string[], modules: ClientPlan["modules"]): AdapterGrid {
  const places = names.flatMap((name) => placeOf(name) ?? [])
  const paths = [...new Set(places.map(({ path }) => path))]
  const lastOf = (path: string): string => path.slice(path.lastIndexOf(".") + 1)
  const shared = (path: string): boolean => paths.filter((other) => lastOf(other) === lastOf(path)).length > 1
  const short = new Map(paths.map((path) => [path, shared(path) ? path : lastOf(path).replace(/_proj$/, "")]))
  const ranks = new Map(
    modules.flatMap(({ name, rank }) => {
      const place = placeOf(name)
      return place ? [[`${short.get(place.path)} ${place.layer}`, rank] as const] : []
    }),
  )
  return {
    linears: [...short.values()],
    layers: Math.max(0, ...places.map(({ layer }) => layer + 1)),
    rank: (linear, layer) => ranks.get(`${linear} ${layer}`) ?? 0,
  }
}

/** A plan with more different parts is said by its count and drawn. */
const PARTS_MAX = 4

/** "q,v of layers 12-29: 16; down of layer 29: 4", or how many linears of which ranks where that would be long. */
export function adapterText(grid: AdapterGrid): string {
  const parts = new Map<string, string[]>()
  let [count, least, most] = [0, Infinity, 0]
  for (const linear of grid.linears) {
    const byRank = new Map<number, number[]>()
    for (let layer = 0; layer < grid.layers; layer++) {
      const rank = grid.rank(linear, layer)
      if (rank === 0) continue
      byRank.set(rank, [...(byRank.get(rank) ?? []), layer])
      ;[count, least, most] = [count + 1, Math.min(least, rank), Math.max(most, rank)]
    }
    for (const [rank, layers] of [...byRank].sort(([left], [right]) => right - left)) {
      const where = `of layer${layers.length > 1 ? "s" : ""} ${ranges(layers)}: ${rank}`
      parts.set(where, [...(parts.get(where) ?? []), linear])
    }
  }
  if (parts.size > PARTS_MAX) return `${counted(count, "linear")}: ${least === most ? least : `${least}-${most}`}`
  const names = (linears: readonly string[]): string =>
    linears.length === grid.linears.length && linears.length > 1 ? "all" : linears.join(",")
  return [...parts].map(([where, linears]) => `${names(linears)} ${where}`).join("; ")
}

/** [0, 1, 2, 5] -> "0-2,5" */
function ranges(layers: readonly number[]): string {
  const runs: [number, number][] = []
  for (const layer of layers) {
    const last = runs.at(-1)
    if (last && last[1] === layer - 1) last[1] = layer
    else runs.push([layer, layer])
  }
  return runs.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)).join(",")
}

const BLOCKS = "▁▂▃▄▅▆▇█"

/** Linears down, blocks across, the higher the larger the rank; a dot where there is no adapter. */
export function adapterPicture(grid: AdapterGrid, ranks: readonly number[]): string {
  const block = (rank: number): string => {
    if (rank === 0) return "·"
    const level = ranks.length === 1 ? 1 : ranks.indexOf(rank) / (ranks.length - 1)
    return BLOCKS[Math.round(level * (BLOCKS.length - 1))] as string
  }
  const width = Math.max(...grid.linears.map((linear) => linear.length))
  return grid.linears
    .map((linear) => {
      const cells = Array.from({ length: grid.layers }, (_, layer) => block(grid.rank(linear, layer)))
      return `  ${linear.padEnd(width)} ${cells.join("")}`
    })
    .join("\n")
}
