import { matrixOf, productNorms, stackColumns, stackRows, zeros } from "@lamina/kernels/linalg"
import { compareNames, LaminaError, scaleOf } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"

import { relativeTo } from "./strategy.js"
import type { ModuleError } from "./strategy.js"

/**
 * ||dW - dW*||_F / ||dW*||_F per module (names sorted) of `adapter` against `exact`, in factor space; a module one of
 * them lacks counts as zero there. Throws ADAPTER_MISMATCH when shapes differ.
 */
export function adapterError(adapter: Adapter, exact: Adapter): ModuleError[] {
  const got = new Map(adapter.modules.map((module) => [module.name, module]))
  const want = new Map(exact.modules.map((module) => [module.name, module]))
  const names = [...new Set([...got.keys(), ...want.keys()])].sort(compareNames)
  return names.map((module) => ({ module, relativeError: moduleError(got.get(module), want.get(module)) }))
}

function moduleError(got: AdapterModule | undefined, want: AdapterModule | undefined): number {
  if (!want) return relativeTo(0, sizeOf(got!))
  if (!got) return relativeTo(1, sizeOf(want) > 0 ? 1 : 0)
  const { name, outFeatures: rows, inFeatures: cols } = want
  if (got.outFeatures !== rows || got.inFeatures !== cols)
    throw new LaminaError(
      "ADAPTER_MISMATCH",
      `module ${name}: expected ${rows} x ${cols}, got ${got.outFeatures} x ${got.inFeatures}`,
    )
  const b = stackColumns([want, got].map((module) => matrixOf(module.b, { rows, cols: module.rank, scale: 1 })))
  const exact = matrixOf(want.a, { rows: want.rank, cols, scale: scaleOf(want) })
  const difference = stackRows([exact, matrixOf(got.a, { rows: got.rank, cols, scale: -scaleOf(got) })])
  const [size, distance] = productNorms(b, [stackRows([exact, zeros(got.rank, cols)]), difference])
  return relativeTo(size!, distance!)
}

/** ||s·B·A||_F. */
function sizeOf(module: AdapterModule): number {
  const b = matrixOf(module.b, { rows: module.outFeatures, cols: module.rank, scale: 1 })
  return productNorms(b, [
    matrixOf(module.a, { rows: module.rank, cols: module.inFeatures, scale: scaleOf(module) }),
  ])[0]!
}
