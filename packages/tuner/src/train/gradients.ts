import { releaseUnclaimedGradients } from "@lamina/kernels"
import type { LoraTerm } from "@lamina/kernels"
import { scaleOf } from "@lamina/protocol"
import type { Adapter } from "@lamina/protocol"
import * as tf from "@tensorflow/tfjs-core"

import type { BlockAdapters } from "../model/block.js"
import { nameHash, threefry } from "../model/counter-random.js"
import type { LinearName } from "../model/families/family.js"
import { lossOf } from "../model/decoder.js"
import type { Decoder, TokenRows } from "../model/decoder.js"
import { moduleSlot } from "../model/module-slot.js"
import type { ModuleSlot } from "../model/module-slot.js"

/** Stream of the counter-based generator that dropout seeds come from; 0 is initial A (model/lora.ts). */
const STREAM_DROPOUT = 1

/** A forward and backward pass to run. */
export interface Pass {
  readonly model: Decoder
  readonly adapter: Adapter
  readonly rows: TokenRows & { readonly targets: Int32Array }
  readonly dropout: number
  readonly seed: number
  /** Only B's gradients are asked for. */
  readonly freezeA?: boolean
  /** Passes done before this one, over all steps: with `seed` and the module's name it gives the dropout seed. */
  readonly pass: number
  /** Less memory, more time, the same gradients. */
  readonly gradientCheckpointing?: boolean
}

/**
 * Calls `use` with the mean loss of the rows and its gradients, dA and dB of every module in the adapter's order,
 * dB alone where A is frozen. The arrays live only during the call: they are the backend's own memory.
 */
export function withGradients(pass: Pass, use: (loss: number, gradients: readonly Float32Array[]) => void): void {
  tf.tidy(() => {
    const terms = pass.adapter.modules.map((module): LoraTerm => {
      const { name, rank, outFeatures, inFeatures, a, b } = module
      const [dropoutSeed] = threefry([pass.seed, nameHash(name)], [pass.pass, STREAM_DROPOUT])
      const factors = { a: tf.tensor2d(a, [rank, inFeatures]), b: tf.tensor2d(b, [outFeatures, rank]) }
      return { ...factors, scale: scaleOf(module), dropout: pass.dropout, dropoutSeed }
    })
    const adapters = blockAdapters(pass, terms)
    const { value, grads } = tf.valueAndGrads(() =>
      lossOf(pass.model, pass.rows, { adapters, gradientCheckpointing: pass.gradientCheckpointing }),
    )(terms.flatMap(({ a, b }) => (pass.freezeA ? [b] : [a, b])))
    use(
      value.dataSync()[0] as number,
      grads.map((gradient) => gradient.dataSync() as Float32Array),
    )
  })
  releaseUnclaimedGradients()
}

function blockAdapters({ model, adapter }: Pass, terms: readonly LoraTerm[]): BlockAdapters[] {
  const blocks = model.blocks.map((): Partial<Record<LinearName, LoraTerm>> => ({}))
  for (const [i, { name }] of adapter.modules.entries()) {
    // checked when the adapter was made (model/lora.ts)
    const { layer, linear } = moduleSlot(model.config, name) as ModuleSlot
    ;(blocks[layer] as Partial<Record<LinearName, LoraTerm>>)[linear] = terms[i]
  }
  return blocks
}
