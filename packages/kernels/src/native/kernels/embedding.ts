import type { TensorInfo } from "@tensorflow/tfjs-core"

import type { EmbeddingAttrs } from "../../ops/kernel-args.js"
import { checkStatus } from "../status.js"
import { weightArguments } from "./kernel.js"
import type { NativeCall } from "./kernel.js"

/** Kernel `Embedding` in C++. */
export function embeddingNative({ attrs, backend, addon }: NativeCall<object, EmbeddingAttrs>): TensorInfo {
  const shape = [attrs.ids.length, attrs.weight.cols]
  const y = backend.take(shape[0]! * shape[1]!)
  checkStatus("Embedding", addon.embedding(...weightArguments(attrs.weight), attrs.ids, y))
  return backend.output(y, shape)
}
