import type { TensorInfo } from "@tensorflow/tfjs-core"

import { valuesOf } from "../../frozen.js"
import type { FrozenArray, FrozenValues, FrozenWeight, WeightFormat } from "../../frozen.js"
import type { Precision } from "../../ops/kernel-args.js"
import type { Addon, WeightArguments } from "../addon.js"
import type { NativeBackend } from "../backend.js"

/** What a kernel of backend `native` is called with; inputs and attributes are those of kernel-args.ts. */
export interface NativeCall<Inputs, Attrs> {
  readonly inputs: Inputs
  readonly attrs: Attrs
  readonly backend: NativeBackend
  readonly addon: Addon
}

export type NativeKernel = (call: NativeCall<never, never>) => TensorInfo | TensorInfo[]

/** The enum of native/weight.hpp. */
const FORMAT: Record<WeightFormat, number> = {
  f32: 0,
  bf16: 1,
  q8: 2,
  q4: 3,
  f16: 4,
  q5: 5,
  q4k: 6,
  q5k: 7,
  q6k: 8,
  nf4: 9,
}

/** The enum of native/precision.hpp. */
export const PRECISION: Record<Precision, number> = { f32: 0, bf16: 1, int8: 2 }

/** A frozen weight as the addon takes it. */
export function weightArguments(weight: FrozenWeight): WeightArguments {
  const part = (name: FrozenArray["name"]): FrozenValues | undefined => valuesOf(weight, name)
  const scales = [part("scales"), part("mins"), part("superScales"), part("superMins"), part("offset")] as const
  return [FORMAT[weight.format], weight.rows, weight.cols, weight.codes, ...scales]
}
