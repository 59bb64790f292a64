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
  return moduleNorms(adapter, exact).map(({ module, size, distance }) => {
    return { module, relativeError: relativeTo(size, distance) }
  })
}

/**
 * The same over all modules at once: sqrt(sum ||dW - dW*||_F² / sum ||dW*||_F²); 0 when nothing differs, Infinity when
 * only dW* is zero. Throws ADAPTER_MISMATCH when shapes differ.
 */
export function adapterDistance(adapter: Adapter, exact: Adapter): number {
  const norms = moduleNorms(adapter, exact)
  return relativeTo(Math.hypot(...norms.map(({ size }) => size)), Math.hypot(...norms.map((each) => each.distance)))
}

/** ||dW*||_F and ||dW - dW*||_F. */
interface ModuleNorms {
  readonly module: string
  readonly size: number
  readonly distance: number
}

function moduleNorms(adapter: Adapter, exact: Adapter): ModuleNorms[] {
  const got = new Map(adapter.modules.map((module) => [module.name, module]))
  const want = new Map(exact.modules.map((module) => [module.name, module]))
  const names = [...new Set([...got.keys(), ...want.keys()])].sort(compareNames)
  return names.map((module) => ({ module, ...normsOf(got.get(module), want.get(module)) }))
}

function normsOf(got: AdapterModule | undefined, want: AdapterModule | undefined): Omit<ModuleNorms, "module"> {
  if (!want) return { size: 0, distance: sizeOf(got!) }
  if (!got) {
    const size = sizeOf(want)
    return { size, distance: size }
  }
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
  return { size: size!, distance: distance! }
}

/** ||s·B·A||_F. */
function sizeOf(module: AdapterModule): number {
  const b = matrixOf(module.b, { rows: module.outFeatures, cols: module.rank, scale: 1 })
  return productNorms(b, [
    matrixOf(module.a, { rows: module.rank, cols: module.inFeatures, scale: scaleOf(module) }),
  ])[0]!
}
