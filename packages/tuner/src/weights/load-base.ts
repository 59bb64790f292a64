import { frozenBytes } from "@lamina/kernels"
import type { FrozenWeight } from "@lamina/kernels"
import { LaminaError } from "@lamina/protocol/errors"

import type { Base, BasePrecision, ModelConfig } from "../api.js"
import { showJson } from "../files/json.js"
import { familyOf } from "../model/families/families.js"
import { decodeFloats, readFloats } from "./float-tensor.js"
import { parseModelConfig } from "./model-config.js"
import type { CheckpointConfig } from "./model-config.js"
import { openModelFiles } from "./model-files.js"
import { linearShapes, vectorShapes } from "./module-shapes.js"
import type { VectorShape } from "./module-shapes.js"
import { prefixedStore } from "./prefixed-store.js"
import { formatOf } from "./quantized-format.js"
import { linearTensors, readLinear } from "./read-linear.js"
import type { ExpectedTensor } from "./read-linear.js"
import type { TensorStore } from "./safetensors-file.js"

/**
 * Reads a model's folder or GGUF file: config.json and model.safetensors or its shards, in f32, f16 or bf16 as
 * transformers writes them or quantized as `saveBase` does. All weights lie on SharedArrayBuffers. All names, types and
 * shapes are checked before the first weight is read. MODEL_CONFIG, MODEL_UNSUPPORTED, WEIGHTS_MISSING,
 * WEIGHTS_MALFORMED, WEIGHTS_DTYPE, FILE_UNREADABLE.
 */
export async function loadBase(path: string, options: { precision: BasePrecision }): Promise<Base> {
  const files = await openModelFiles(path)
  try {
    const config = parseModelConfig(await files.config(), files.configPath)
    const store = prefixedStore(await files.store(), familyOf(config.model).names)
    checkTensors(files.path, config, store)
    const linears: Record<string, FrozenWeight> = {}
    for (const shape of linearShapes(config.model))
      linears[shape.name] = await readLinear(store, shape, {
        quantization: formatOf(config.quantization, shape.name),
        precision: options.precision,
      })
    const vectors = { weight: {} as Record<string, Float32Array>, bias: {} as Record<string, Float32Array> }
    for (const shape of vectorShapes(config.model)) vectors[shape.part][shape.name] = await readVector(store, shape)
    const { weight: norms, bias: biases } = vectors
    const bytes =
      Object.values(linears).reduce((sum, weight) => sum + frozenBytes(weight), 0) +
      [norms, biases].flatMap(Object.values<Float32Array>).reduce((sum, vector) => sum + vector.byteLength, 0)
    const { path: folder } = files
    return { folder, config: config.model, precision: options.precision, linears, norms, biases, bytes }
  } finally {
    await files.close()
  }
}

async function readVector(store: TensorStore, { name, part, size }: VectorShape): Promise<Float32Array> {
  const vector = new Float32Array(new SharedArrayBuffer(size * 4))
  decodeFloats(await readFloats(store, `${name}.${part}`), 0, vector)
  return vector
}

/** Everything the config calls for is there with its shape, and nothing else that would have to be computed with. */
export function checkTensors(folder: string, config: CheckpointConfig, store: TensorStore): void {
  const blocks = store.readFrozen !== undefined
  const linears = linearShapes(config.model).flatMap((shape) =>
    linearTensors(shape, { quantization: formatOf(config.quantization, shape.name), blocks }),
  )
  const vectors = vectorShapes(config.model).map(({ name, part, size }): ExpectedTensor => ({
    name: `${name}.${part}`,
    shape: [size],
    dtypes: ["F32", "BF16", "F16"],
  }))
  const expected = [...linears, ...vectors]
  for (const tensor of expected) checkTensor(folder, tensor, store)
  const known = new Set(expected.map(({ name }) => name))
  for (const [name, { file }] of store.tensors)
    if (!known.has(name) && !isRedundant(name, config.model))
      throw new LaminaError(
        "MODEL_UNSUPPORTED",
        `${file}: ${showJson(name)}: expected the tensors of a ${config.model.architecture} decoder, got this too`,
      )
}

function checkTensor(folder: string, { name, shape, dtypes }: ExpectedTensor, store: TensorStore): void {
  const info = store.tensors.get(name)
  const wanted = `${dtypes.join(" or ")} [${shape.join(", ")}]`
  if (info === undefined)
    throw new LaminaError(
      "WEIGHTS_MISSING",
      `${folder}: ${name}: expected ${wanted} by config.json, found no such tensor`,
    )
  if (String(info.shape) !== String(shape))
    throw new LaminaError(
      "MODEL_CONFIG",
      `${info.file}: ${name}: expected ${wanted} by config.json, got ${info.dtype} [${info.shape.join(", ")}]`,
    )
  if (!dtypes.includes(info.dtype))
    throw new LaminaError("WEIGHTS_DTYPE", `${info.file}: ${name}: expected ${wanted}, got ${info.dtype}`)
}

/** What old checkpoints carry along, and the copy of a tied head: both follow from what is read. */
export function isRedundant(name: string, config: ModelConfig): boolean {
  const { redundant, names } = familyOf(config)
  const head = new RegExp(`^${names.head}\\.weight(\\.\\w+)?$`)
  return redundant.test(name) || (config.tiedHead && head.test(name))
}
