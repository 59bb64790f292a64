import { matrixOf, productNorms, stackColumns, stackRows, zeros } from "@lamina/kernels/linalg"
import { LaminaError, scaleOf } from "@lamina/protocol"
import type { AdapterModule } from "@lamina/protocol"

import { moduleCohorts } from "./cohort.js"
import type { ModuleCohort } from "./cohort.js"
import { exactFactors } from "./flora.js"
import { relativeTo } from "./strategy.js"
import type { CohortStrategy } from "./cohort-strategy.js"

/**
 * Averages the factors: A = sum p_k A_k, B = sum p_k B_k, summed in f64 over ALL clients and rounded once; rank, alpha
 * and scaling stay. Not exact: a product of means is no mean of products. Every client must train every module with the
 * same rank, alpha and scaling, else STRATEGY_UNSUITABLE. FedIT, Zhang et al. 2023 (arXiv:2305.05644), section 3.
 */
export const fedit: CohortStrategy = {
  name: "fedit",
  aggregate(input) {
    const cohorts = moduleCohorts(input)
    for (const cohort of cohorts) checkEqual(cohort)
    const averaged = cohorts.map(averageCohort)
    return { adapter: { modules: averaged }, errors: cohorts.map((cohort, i) => averagingError(cohort, averaged[i]!)) }
  },
}

function checkEqual({ name, clients, contributions }: ModuleCohort): void {
  const hint = `strategy "flora" stacks adapters of any rank`
  const owners = new Set(contributions.map(({ clientId }) => clientId))
  const without = clients.find((client) => !owners.has(client))
  if (without !== undefined)
    throw new LaminaError(
      "STRATEGY_UNSUITABLE",
      `fedit: module ${name}: expected it from every client, got none from ${without}`,
      { hint },
    )
  const say = ({ rank, alpha, scaling }: AdapterModule): string => `rank ${rank}, alpha ${alpha}, scaling ${scaling}`
  const first = say(contributions[0]!.module)
  const other = contributions.find(({ module }) => say(module) !== first)
  if (other)
    throw new LaminaError(
      "STRATEGY_UNSUITABLE",
      `fedit: module ${name}: expected ${first} from every client, got ${say(other.module)} from ${other.clientId}`,
      { hint },
    )
}

function averageCohort({ contributions }: ModuleCohort): AdapterModule {
  const average = (side: "a" | "b"): Float32Array => {
    const sum = new Float64Array(contributions[0]!.module[side].length)
    for (const { share, module } of contributions)
      for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + share * module[side][i]!
    return new Float32Array(sum)
  }
  return { ...contributions[0]!.module, a: average("a"), b: average("b") }
}

/**
 * dW* - dW = [B_1 ... B_K, B]·[p_1 s_1 A_1; ...; p_K s_K A_K; -s A]: the difference as one product, so that nothing
 * cancels before its norm.
 */
function averagingError(cohort: ModuleCohort, averaged: AdapterModule): { module: string; relativeError: number } {
  const { outFeatures, inFeatures, rank } = averaged
  const exact = exactFactors(cohort)
  const b = stackColumns([exact.b, matrixOf(averaged.b, { rows: outFeatures, cols: rank, scale: 1 })])
  const difference = stackRows([
    exact.a,
    matrixOf(averaged.a, { rows: rank, cols: inFeatures, scale: -scaleOf(averaged) }),
  ])
  const [size, distance] = productNorms(b, [stackRows([exact.a, zeros(rank, inFeatures)]), difference])
  return { module: cohort.name, relativeError: relativeTo(size!, distance!) }
}
