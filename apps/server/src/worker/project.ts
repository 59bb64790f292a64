import { STRATEGIES } from "@lamina/aggregation"
import { decodeAdapter, encodeAdapter } from "@lamina/protocol"

import type { ProjectJob, Projected } from "./jobs.js"

/** The global adapter as clients of each of the wanted terms start from it. Throws STRATEGY_UNSUITABLE. */
export function project({ strategy, globalAdapter, wanted }: ProjectJob): Projected[] {
  const global = decodeAdapter(globalAdapter)
  return wanted.map(({ terms, bytesMax }) => {
    const { adapter, startRanks, relativeError } = STRATEGIES[strategy].project(global, terms, { bytesMax })
    return { adapter: encodeAdapter(adapter), startRanks: Object.fromEntries(startRanks), relativeError }
  })
}
