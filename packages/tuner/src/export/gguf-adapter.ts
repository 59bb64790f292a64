import { scaleOf } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"

import type { ModelConfig, ModuleShape } from "../api.js"
import { writeAtomically } from "../files/write-atomically.js"
import { GGUF_ARCHITECTURES, ggufName } from "../gguf/architectures.js"
import type { GgufArchitecture } from "../gguf/architectures.js"
import { encodeGguf } from "../gguf/encode-gguf.js"
import type { GgufData } from "../gguf/encode-gguf.js"
import { GGML_F32 } from "../gguf/ggml-types.js"
import { halvesApart } from "../gguf/row-order.js"
import { moduleShapes } from "../weights/module-shapes.js"

/**
 * Writes an adapter as a GGUF file that llama.cpp applies to a GGUF file of the same base (`--lora FILE`): f32 factors
 * `blk.N.attn_q.weight.lora_a` (rank, in) and `.lora_b` (out, rank), rows of B where llama.cpp has those of W.
 * llama.cpp has one alpha for a file and divides it by each module's rank; where that is not a module's own scale, B
 * makes up for it. MODEL_UNSUPPORTED for a base that has no GGUF architecture of ours, ADAPTER_MISMATCH for a module
 * that the base has not or of another shape, ADAPTER_MALFORMED without modules, FILE_UNWRITABLE.
 */
export async function writeGgufAdapter(
  path: string,
  adapter: Adapter,
  base: { readonly config: ModelConfig; readonly name: string },
): Promise<void> {
  const [first] = adapter.modules
  if (first === undefined) throw new LaminaError("ADAPTER_MALFORMED", "expected an adapter with modules, got none")
  const architecture = ggufArchitecture(base.config)
  const alpha = Math.fround(scaleOf(first) * first.rank)
  const tensors = new Map<string, GgufData>()
  const shapes = new Map(moduleShapes(base.config, "all-linear").map((shape) => [shape.name, shape]))
  for (const module of adapter.modules) {
    checkModule(module, shapes.get(module.name))
    const name = ggufName(architecture, `${module.name}.weight`)
    const { rank, inFeatures, outFeatures, a } = module
    const b = storedB(module, { alpha, architecture, config: base.config })
    tensors.set(`${name}.lora_a`, { type: GGML_F32, shape: [rank, inFeatures], data: a })
    tensors.set(`${name}.lora_b`, { type: GGML_F32, shape: [outFeatures, rank], data: b })
  }
  const metadata = {
    "general.architecture": { string: architecture.name },
    "general.type": { string: "adapter" },
    "general.name": { string: base.name },
    "adapter.type": { string: "lora" },
    "adapter.lora.alpha": { f32: alpha },
  }
  await writeAtomically(path, encodeGguf(metadata, tensors))
}

function ggufArchitecture({ architecture }: ModelConfig): GgufArchitecture {
  const found = Object.values(GGUF_ARCHITECTURES).find(({ families }) => families.includes(architecture))
  if (found !== undefined) return found
  throw new LaminaError("MODEL_UNSUPPORTED", `expected a base that GGUF adapters are written for, got ${architecture}`)
}

/** ADAPTER_MISMATCH unless the module is the base's `linear`, its factors as long as that and its rank say. */
function checkModule({ name, rank, outFeatures, inFeatures, a, b }: AdapterModule, linear?: ModuleShape): void {
  const mismatch = (message: string): LaminaError =>
    new LaminaError("ADAPTER_MISMATCH", `module ${name}: ${message}`, { hint: "name the base it was trained on" })
  if (linear === undefined) throw mismatch("the base has no such linear layer")
  const [expected, got] = [linear, { outFeatures, inFeatures }].map(
    (shape) => `${shape.outFeatures} x ${shape.inFeatures}`,
  )
  if (got !== expected) throw mismatch(`expected ${expected} (out x in) as in the base, got ${got}`)
  if (a.length !== rank * inFeatures || b.length !== outFeatures * rank)
    throw mismatch(
      `expected A of ${rank * inFeatures} and B of ${outFeatures * rank} values, got ${a.length} and ${b.length}`,
    )
}

/** B in llama.cpp's row order, scaled so that alpha / rank gives the module's own scale. */
function storedB(
  module: AdapterModule,
  { alpha, architecture, config }: { alpha: number; architecture: GgufArchitecture; config: ModelConfig },
): Float32Array {
  const { name, rank, outFeatures, b } = module
  const factor = (scaleOf(module) * rank) / alpha
  const order = architecture.interleaved.some((part) => name.endsWith(`.${part}`))
    ? halvesApart(config.headDim)
    : (row: number) => row
  const stored = new Float32Array(b.length)
  for (let row = 0; row < outFeatures; row++)
    for (let r = 0; r < rank; r++) stored[row * rank + r] = b[order(row) * rank + r]! * factor
  return stored
}
