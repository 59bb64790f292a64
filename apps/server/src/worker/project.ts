import { STRATEGIES } from "@lamina/aggregation"
import { decodeAdapter, encodeAdapter } from "@lamina/protocol"
import { hasErrorCode } from "@lamina/protocol/errors"

import type { ProjectJob, Projected, Unprojected } from "./jobs.js"

/** The global adapter as clients of each of the wanted terms start from it, where the strategy has that. */
export function project({ strategy, globalAdapter, wanted }: ProjectJob): (Projected | Unprojected)[] {
  const global = decodeAdapter(globalAdapter)
  return wanted.map(({ terms, bytesMax }) => {
    try {
      const { adapter, startRanks, relativeError } = STRATEGIES[strategy].project(global, terms, { bytesMax })
      return { adapter: encodeAdapter(adapter), startRanks: Object.fromEntries(startRanks), relativeError }
    } catch (error) {
      if (!hasErrorCode(error) || error.code !== "STRATEGY_UNSUITABLE") throw error
      return { refused: error.message }
    }
  })
}
