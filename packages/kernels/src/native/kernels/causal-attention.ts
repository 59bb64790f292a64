import type { TensorInfo } from "@tensorflow/tfjs-core"

import type { AttentionAttrs, CachedAttentionAttrs } from "../../ops/kernel-args.js"
import type { AttentionArguments } from "../addon.js"
import { checkStatus } from "../status.js"
import type { NativeCall } from "./kernel.js"

interface Inputs {
  readonly q: TensorInfo
  readonly k: TensorInfo
  readonly v: TensorInfo
}

/** What "no window" is to the addon: no segment is longer. */
const NO_WINDOW = 2 ** 31 - 1

function attentionArguments({ q }: Inputs, attrs: AttentionAttrs): AttentionArguments {
  const { heads, kvHeads, headDim, scale, offsets, precision = "f32", window = NO_WINDOW } = attrs
  return [q.shape[0]!, heads, kvHeads, headDim, scale, precision !== "f32", Math.min(window, NO_WINDOW), offsets]
}

/** Kernel `CausalAttention` in C++ (native/attention.cpp). */
export function causalAttentionNative({
  inputs,
  attrs,
  backend,
  addon,
}: NativeCall<Inputs, AttentionAttrs>): TensorInfo {
  const [q, k, v] = [backend.floats(inputs.q), backend.floats(inputs.k), backend.floats(inputs.v)]
  const y = backend.take(q.length)
  checkStatus("CausalAttention", addon.attention(...attentionArguments(inputs, attrs), q, k, v, y))
  return backend.output(y, inputs.q.shape)
}

/** Kernel `CachedAttention` in C++. */
export function cachedAttentionNative({
  inputs: { q },
  attrs,
  backend,
  addon,
}: NativeCall<Pick<Inputs, "q">, CachedAttentionAttrs>): TensorInfo {
  const { heads, kvHeads, headDim, scale, past, keys, values, window = NO_WINDOW } = attrs
  const queries = backend.floats(q)
  const y = backend.take(queries.length)
  const shape = [q.shape[0]!, heads, kvHeads, headDim, scale, Math.min(window, NO_WINDOW), past] as const
  checkStatus("CachedAttention", addon.cachedAttention(...shape, queries, keys, values, y))
  return backend.output(y, q.shape)
}

/** Kernel `CausalAttentionGrad` in C++ -> [dq, dk, dv]. */
export function causalAttentionGradNative({
  inputs,
  attrs,
  backend,
  addon,
}: NativeCall<Inputs & { readonly dy: TensorInfo }, AttentionAttrs>): TensorInfo[] {
  const [q, k, v] = [backend.floats(inputs.q), backend.floats(inputs.k), backend.floats(inputs.v)]
  const [dq, dk, dv] = [backend.take(q.length), backend.take(k.length), backend.take(v.length)]
  const args = attentionArguments(inputs, attrs)
  checkStatus("CausalAttentionGrad", addon.attentionGrad(...args, backend.floats(inputs.dy), q, k, v, dq, dk, dv))
  return [backend.output(dq, inputs.q.shape), backend.output(dk, inputs.k.shape), backend.output(dv, inputs.v.shape)]
}
