import { matrixOf, productNorms, stackColumns, stackRows } from "@lamina/kernels/linalg"
import type { Matrix } from "@lamina/kernels/linalg"
import { scaleOf } from "@lamina/protocol"
import type { AdapterModule } from "@lamina/protocol"

import { moduleCohorts } from "./cohort.js"
import type { ModuleCohort } from "./cohort.js"
import { relativeTo } from "./strategy.js"
import type { CohortStrategy } from "./cohort-strategy.js"

/**
 * Stacking: A = [p_k s_k A_k] over rows, B = [B_k] over columns, rank R = sum r_k, scale 1 (alpha = R). Exact but for
 * one rounding of A to f32; ranks, alphas and scaling rules may differ, and a client that did not train a module adds
 * nothing to it (shares stay those of the whole cohort). FLoRA, Wang et al. 2024 (arXiv:2409.05976), equation 6.
 */
export const flora: CohortStrategy = {
  name: "flora",
  aggregate(input) {
    const cohorts = moduleCohorts(input)
    const stacked = cohorts.map(stackCohort)
    return { adapter: { modules: stacked }, errors: cohorts.map((cohort, i) => roundingError(cohort, stacked[i]!)) }
  },
}

/** B and A of dW* = B·A in f64: the columns B_k and the rows p_k s_k A_k, in aggregation order. */
export function exactFactors({ contributions, inFeatures, outFeatures }: ModuleCohort): { b: Matrix; a: Matrix } {
  const a = contributions.map(({ module, share }) =>
    matrixOf(module.a, { rows: module.rank, cols: inFeatures, scale: share * scaleOf(module) }),
  )
  const b = contributions.map(({ module }) => matrixOf(module.b, { rows: outFeatures, cols: module.rank, scale: 1 }))
  return { a: stackRows(a), b: stackColumns(b) }
}

function stackCohort(cohort: ModuleCohort): AdapterModule {
  const { name, outFeatures, inFeatures } = cohort
  const { a, b } = exactFactors(cohort)
  const rank = a.rows
  return {
    ...{ name, outFeatures, inFeatures, rank, alpha: rank, scaling: "lora" },
    ...{ a: new Float32Array(a.data), b: new Float32Array(b.data) },
  }
}

/** The stack against dW*: B is copied, so the difference is B times what rounding did to A. */
function roundingError(cohort: ModuleCohort, stacked: AdapterModule): { module: string; relativeError: number } {
  const { a, b } = exactFactors(cohort)
  const rounding: Matrix = { ...a, data: a.data.map((value, i) => stacked.a[i]! - value) }
  const [size, distance] = productNorms(b, [a, rounding])
  return { module: cohort.name, relativeError: relativeTo(size!, distance!) }
}
