import { encodeAdapter } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"

import { appended, normOf, rankSlice } from "./module-factors.js"
import { inSingularOrder, singularEnergies } from "./singular-order.js"
import type { Projection } from "./strategy.js"

/** A module whose leading rows are kept as they are, with the rest in singular order. */
interface Piece {
  readonly module: AdapterModule
  readonly startRank: number
  readonly tail: AdapterModule | undefined
  /** Of the rows of `tail`. */
  readonly energies: readonly number[]
  /** Rows of `tail` that stay. */
  kept: number
}

/**
 * The global adapter with `startRankOf` leading rows per module to train on and the rest frozen. Above `bytesMax`
 * (encodeAdapter bytes; 0: no budget) the frozen rest is truncated: over all modules, the singular values with the
 * least energy per byte go first, until it fits. One row stays even where the budget is below any adapter's size. The
 * decomposition is made anew at every call: clients of one budget can share a result.
 */
export function projectFrozen(
  global: Adapter,
  startRankOf: (module: AdapterModule) => number,
  { bytesMax }: { readonly bytesMax: number },
): Projection {
  const startRanks = new Map(global.modules.map((module) => [module.name, startRankOf(module)]))
  const bytes = bytesMax === 0 ? 0 : encodeAdapter(global).byteLength
  if (bytes <= bytesMax) return { adapter: global, startRanks, relativeError: 0 }
  const pieces = global.modules.map((module) => pieceOf(module, startRankOf(module)))
  const dropped = cut(pieces, bytesMax - (bytes - tensorBytes(global.modules)))
  const modules = pieces.flatMap((piece) => restOf(piece) ?? [])
  const names = new Set(modules.map(({ name }) => name))
  return {
    adapter: { modules },
    startRanks: new Map([...startRanks].filter(([name]) => names.has(name))),
    relativeError: dropped === 0 ? 0 : Math.sqrt(dropped / totalEnergy(pieces)),
  }
}

function pieceOf(module: AdapterModule, startRank: number): Piece {
  if (startRank === module.rank) return { module, startRank, tail: undefined, energies: [], kept: 0 }
  const rest = rankSlice(module, { from: startRank, to: module.rank })
  const { module: tail } = inSingularOrder(rest, { tau: 0 })
  return { module, startRank, tail, energies: singularEnergies(tail), kept: tail.rank }
}

/** Drops rows until what is left takes at most `budgetBytes`; the energy that went. */
function cut(pieces: readonly Piece[], budgetBytes: number): number {
  const sizeOf = ({ module, startRank, kept }: Piece): number => alignedBytes(module, startRank + kept)
  // stable: equal densities go in the order of names, and the last row of a module before the one above it
  const order = pieces
    .flatMap((piece) =>
      piece.energies
        .map((energy) => ({ piece, density: energy / (piece.module.inFeatures + piece.module.outFeatures) }))
        .reverse(),
    )
    .sort((left, right) => left.density - right.density)
  let bytes = pieces.reduce((sum, piece) => sum + sizeOf(piece), 0)
  let rows = pieces.reduce((sum, { startRank, kept }) => sum + startRank + kept, 0)
  let dropped = 0
  for (const { piece } of order) {
    if (bytes <= budgetBytes || rows === 1) break
    bytes -= sizeOf(piece)
    piece.kept--
    rows--
    bytes += sizeOf(piece)
    dropped += piece.energies[piece.kept]!
  }
  return dropped
}

/** What is left of a module; undefined where that is nothing. */
function restOf({ module, startRank, tail, kept }: Piece): AdapterModule | undefined {
  if (startRank + kept === module.rank) return module
  const rest = tail && kept > 0 ? rankSlice(tail, { from: 0, to: kept }) : undefined
  if (startRank === 0) return rest
  const start = rankSlice(module, { from: 0, to: startRank })
  return rest ? appended(start, rest) : start
}

function totalEnergy(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { module, startRank, energies }) => {
    const own = startRank === 0 ? energies.reduce((total, energy) => total + energy, 0) : normOf(module) ** 2
    return sum + own
  }, 0)
}

/** Bytes of the tensors of an adapter as they lie in encodeAdapter's container, the last one not padded. */
function tensorBytes(modules: readonly AdapterModule[]): number {
  const last = modules.at(-1)
  const padding = last ? aligned(4 * last.b.length) - 4 * last.b.length : 0
  return modules.reduce((sum, module) => sum + alignedBytes(module, module.rank), -padding)
}

function alignedBytes({ inFeatures, outFeatures }: AdapterModule, rank: number): number {
  return aligned(4 * rank * inFeatures) + aligned(4 * rank * outFeatures)
}

/** Tensors start at multiples of 64 (packages/protocol, update.ts). */
function aligned(bytes: number): number {
  return Math.ceil(bytes / 64) * 64
}
