import { placeFactors, freshFloats } from "@lamina/kernels/linalg"
import { compareNames, LaminaError, scaleOf } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"

/**
 * The global adapter plus a round's aggregate, by concatenation: B = [B_G, B_round], A = [A_G; s A_round], scale 1
 * (alpha = rank). Lossless; a scale other than 1 is multiplied into A and rounded once. A module only one of them has
 * is taken over. Throws ADAPTER_MISMATCH when shapes differ.
 */
export function stackOnto(global: Adapter | undefined, aggregate: Adapter): Adapter {
  const modules = new Map((global?.modules ?? []).map((module) => [module.name, [module]]))
  for (const module of aggregate.modules) modules.set(module.name, [...(modules.get(module.name) ?? []), module])
  const names = [...modules.keys()].sort(compareNames)
  return { modules: names.map((name) => concatenate(modules.get(name)!)) }
}

function concatenate(parts: readonly AdapterModule[]): AdapterModule {
  const { name, outFeatures, inFeatures } = parts[0]!
  const other = parts.find((part) => part.outFeatures !== outFeatures || part.inFeatures !== inFeatures)
  if (other)
    throw new LaminaError(
      "ADAPTER_MISMATCH",
      `module ${name}: expected ${outFeatures} x ${inFeatures}, got ${other.outFeatures} x ${other.inFeatures}`,
    )
  if (parts.length === 1 && scaleOf(parts[0]!) === 1) return parts[0]!
  const total = parts.reduce((sum, { rank }) => sum + rank, 0)
  const into = { a: freshFloats(total * inFeatures), b: freshFloats(outFeatures * total) }
  let at = 0
  for (const part of parts) {
    const [ranks, scales] = [Int32Array.of(part.rank), Float64Array.of(scaleOf(part))]
    placeFactors({ rows: outFeatures, cols: inFeatures, ranks, scales, a: part.a, b: part.b }, { at, total, into })
    at += part.rank
  }
  return { ...{ name, outFeatures, inFeatures, rank: total, alpha: total, scaling: "lora" }, ...into }
}
