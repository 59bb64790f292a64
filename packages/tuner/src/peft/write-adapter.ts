import { join } from "node:path"

import type { Adapter, AdapterModule } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"

import { makeFolder } from "../files/make-folder.js"
import { writeAtomically } from "../files/write-atomically.js"
import { isConv1d } from "../model/families/families.js"
import { writeSafetensors } from "../weights/safetensors-write.js"
import type { TensorData } from "../weights/safetensors-write.js"

/**
 * Writes an adapter to a folder that PEFT (0.14 and later) loads with `PeftModel.from_pretrained`: f32 factors, each
 * module's rank and alpha exact. The rank and alpha most modules have are r and lora_alpha, the others stand in
 * rank_pattern and alpha_pattern under keys that match one module each. The bytes depend on adapter and base name
 * alone; adapter_config.json comes last. ADAPTER_MALFORMED for an adapter PEFT cannot hold (none or several scaling
 * rules, a name that is no path, factors of a wrong length); FILE_UNWRITABLE.
 */
export async function writePeftAdapter(folder: string, adapter: Adapter, options: { baseName: string }): Promise<void> {
  const config = adapterConfig(adapter, options.baseName)
  const tensors = new Map<string, TensorData>()
  for (const module of adapter.modules) {
    const { name, rank, inFeatures, outFeatures, a, b } = module
    checkModule(module)
    tensors.set(`base_model.model.${name}.lora_A.weight`, { dtype: "F32", shape: [rank, inFeatures], data: a })
    tensors.set(`base_model.model.${name}.lora_B.weight`, { dtype: "F32", shape: [outFeatures, rank], data: b })
  }
  await makeFolder(folder)
  await writeSafetensors(join(folder, "adapter_model.safetensors"), tensors, { format: "pt" })
  await writeAtomically(join(folder, "adapter_config.json"), [Buffer.from(`${JSON.stringify(config, undefined, 2)}\n`)])
}

function adapterConfig({ modules }: Adapter, baseName: string): Record<string, unknown> {
  const rules = [...new Set(modules.map(({ scaling }) => scaling))]
  if (rules.length !== 1)
    throw new LaminaError(
      "ADAPTER_MALFORMED",
      `expected modules of one scaling rule, got ${rules.join(" and ") || "no modules"}`,
    )
  const rank = mostCommon(modules.map((module) => module.rank))
  const alpha = mostCommon(modules.map((module) => module.alpha))
  return {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: baseName,
    inference_mode: true,
    r: rank,
    lora_alpha: alpha,
    lora_dropout: 0,
    use_rslora: rules[0] === "rslora",
    use_dora: false,
    bias: "none",
    fan_in_fan_out: modules.every(({ name }) => isConv1d(name)),
    init_lora_weights: true,
    modules_to_save: null,
    target_modules: modules.map(({ name }) => name).sort(),
    rank_pattern: patternOf(
      modules.filter((module) => module.rank !== rank),
      "rank",
    ),
    alpha_pattern: patternOf(
      modules.filter((module) => module.alpha !== alpha),
      "alpha",
    ),
  }
}

/** PEFT matches `(.*\.)?(key)$`: anchored and escaped, a key is one module and not what ends like it. */
function patternOf(modules: readonly AdapterModule[], value: "rank" | "alpha"): Record<string, number> {
  return Object.fromEntries(modules.map((module) => [`^${module.name.replaceAll(".", "\\.")}`, module[value]]))
}

/** The most frequent value, the first of several. */
function mostCommon(values: readonly number[]): number {
  const counts = new Map<number, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best), [0, 0])[0]
}

function checkModule({ name, rank, inFeatures, outFeatures, a, b }: AdapterModule): void {
  if (!/^[\w-]+(\.[\w-]+)*$/.test(name))
    throw new LaminaError(
      "ADAPTER_MALFORMED",
      `module name: expected parts of letters, digits, "_" and "-" with dots between, got ${JSON.stringify(name)}`,
    )
  if (a.length !== rank * inFeatures || b.length !== outFeatures * rank)
    throw new LaminaError(
      "ADAPTER_MALFORMED",
      `${name}: expected ${rank * inFeatures} values of A and ${outFeatures * rank} of B, ` +
        `got ${a.length} and ${b.length}`,
    )
}
