import type { StrategyName } from "@lamina/protocol"

import { fedex } from "./fedex.js"
import { fedit } from "./fedit.js"
import { fedpipe } from "./fedpipe.js"
import { ffa } from "./ffa.js"
import { flexlora } from "./flexlora.js"
import { flora } from "./flora.js"
import { florist } from "./florist.js"
import { hetlora } from "./hetlora.js"
import type { Strategy } from "./strategy.js"
import { zeropad } from "./zeropad.js"

/** Every aggregation rule by its name; docs/strategies.md compares them. */
export const STRATEGIES: Readonly<Record<StrategyName, Strategy>> = {
  ...{ flora, florist, flexlora, fedit, zeropad, hetlora, ffa, fedex, fedpipe },
}
