import type { TensorInfo } from "@tensorflow/tfjs-core"

import type { LinearAttrs, LinearGradAttrs } from "../../ops/kernel-args.js"
import type { LinearArguments } from "../addon.js"
import type { NativeBackend } from "../backend.js"
import { checkStatus } from "../status.js"
import { PRECISION, weightArguments } from "./kernel.js"
import type { NativeCall } from "./kernel.js"

interface Inputs {
  readonly x: TensorInfo
  readonly a?: TensorInfo
  readonly b?: TensorInfo
  readonly plus?: TensorInfo
}

function linearArguments({ x, a, b }: Inputs, attrs: LinearAttrs, backend: NativeBackend): LinearArguments {
  const { weight, bias, global, scale, dropout, dropoutSeed, precision } = attrs
  return [
    x.shape[0]!,
    PRECISION[precision],
    ...weightArguments(weight),
    bias,
    global?.rank ?? 0,
    global?.a,
    global?.b,
    a && b ? a.shape[0]! : 0,
    a && backend.floats(a),
    b && backend.floats(b),
    scale,
    dropout,
    dropoutSeed,
  ]
}

/** Kernel `QuantLoraLinear` in C++ (native/linear.cpp). */
export function quantLoraLinearNative({ inputs, attrs, backend, addon }: NativeCall<Inputs, LinearAttrs>): TensorInfo {
  const shape = [inputs.x.shape[0]!, attrs.weight.rows]
  const y = backend.take(shape[0]! * shape[1]!)
  const args = linearArguments(inputs, attrs, backend)
  const plus = inputs.plus && backend.floats(inputs.plus)
  checkStatus("QuantLoraLinear", addon.linear(...args, backend.floats(inputs.x), plus, y))
  return backend.output(y, shape)
}

/** Kernel `QuantLoraLinearGrad` in C++: dx where wanted, then da and db where there is an adapter. */
export function quantLoraLinearGradNative({
  inputs,
  attrs,
  backend,
  addon,
}: NativeCall<Inputs & { readonly dy: TensorInfo }, LinearGradAttrs>): TensorInfo[] {
  const { dy, x, a, b, plus } = inputs
  const wanted = [attrs.needsDx ? x : undefined, a && b ? a : undefined, a && b ? b : undefined]
  const memory = wanted.map((like) => like && backend.take(like.shape[0]! * like.shape[1]!))
  const [dx, da, db] = memory
  const args = linearArguments(inputs, attrs, backend)
  const frozen = [backend.floats(dy), backend.floats(x), plus && backend.floats(plus)] as const
  checkStatus("QuantLoraLinearGrad", addon.linearGrad(...args, ...frozen, dx, da, db))
  return wanted.flatMap((like, i) => (like ? [backend.output(memory[i]!, like.shape)] : []))
}
