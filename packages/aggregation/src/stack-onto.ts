import { matrixOf, stackColumns, stackRows } from "@lamina/kernels/linalg"
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
  const a = stackRows(
    parts.map((part) => matrixOf(part.a, { rows: part.rank, cols: inFeatures, scale: scaleOf(part) })),
  )
  const b = stackColumns(parts.map((part) => matrixOf(part.b, { rows: outFeatures, cols: part.rank, scale: 1 })))
  return {
    ...{ name, outFeatures, inFeatures, rank: a.rows, alpha: a.rows, scaling: "lora" },
    ...{ a: new Float32Array(a.data), b: new Float32Array(b.data) },
  }
}
