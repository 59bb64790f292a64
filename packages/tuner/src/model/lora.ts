import { compareNames, scaleOf } from "@lamina/protocol"
import type { Adapter, AdapterModule, ScalingRule } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"
import type { FrozenFactors } from "@lamina/kernels"

import type { Base, LoraModule } from "../api.js"
import { initialA } from "./initial-factors.js"
import { moduleSlot } from "./module-slot.js"

/**
 * What training starts from, its arrays the caller's to change: A as `initialA` draws it and B = 0, as PEFT does.
 * Modules come sorted by name. ADAPTER_MISMATCH: see checkModules.
 */
export function initialAdapter(
  base: Base,
  job: { modules: readonly LoraModule[]; scaling: ScalingRule; seed: number },
): Adapter {
  checkModules(base, job.modules)
  const modules = job.modules.map(({ name, outFeatures, inFeatures, rank, alpha }) => ({
    ...{ name, outFeatures, inFeatures, rank, alpha, scaling: job.scaling },
    a: initialA({ seed: job.seed, name, rank, inFeatures }),
    b: new Float32Array(outFeatures * rank),
  }))
  return { modules: modules.sort((left, right) => compareNames(left.name, right.name)) }
}

/**
 * A copy of `adapter` to train further; its modules must be exactly `modules`, rank, alpha and rule included
 * (ADAPTER_MISMATCH).
 */
export function continuedAdapter(
  base: Base,
  job: { modules: readonly LoraModule[]; scaling: ScalingRule; adapter: Adapter },
): Adapter {
  checkModules(base, job.modules)
  const wanted = new Map(job.modules.map((module) => [module.name, module]))
  const got = job.adapter.modules
  for (const module of got) {
    checkFactors(base, module)
    const plan = wanted.get(module.name)
    if (
      plan === undefined ||
      plan.rank !== module.rank ||
      plan.alpha !== module.alpha ||
      module.scaling !== job.scaling
    )
      throw mismatch(
        `initial adapter, module ${module.name}: expected ${describe(plan && { ...plan, scaling: job.scaling })}, ` +
          `got ${describe(module)}`,
      )
  }
  if (got.length !== wanted.size) throw mismatch(`initial adapter: expected ${wanted.size} modules, got ${got.length}`)
  const modules = got.map((module) => ({ ...module, a: module.a.slice(), b: module.b.slice() }))
  return { modules: modules.sort((left, right) => compareNames(left.name, right.name)) }
}

/**
 * All `adapters` as one frozen term per module, sum of s_k B_k A_k: A stacked over rows, s_k B_k over columns (FLoRA,
 * Wang et al. 2024, arXiv:2409.05976, equation 4). ADAPTER_MISMATCH for a module the base has not, or of another
 * shape.
 */
export function foldAdapters(base: Base, adapters: readonly Adapter[]): Readonly<Record<string, FrozenFactors>> {
  const byName = new Map<string, AdapterModule[]>()
  for (const module of adapters.flatMap((adapter) => adapter.modules)) {
    checkFactors(base, module)
    byName.set(module.name, [...(byName.get(module.name) ?? []), module])
  }
  return Object.fromEntries([...byName].map(([name, modules]) => [name, stack(modules)]))
}

function stack(modules: readonly AdapterModule[]): FrozenFactors {
  const first = modules[0] as AdapterModule
  // as global adapters are: large, and not to be in memory twice
  if (modules.length === 1 && scaleOf(first) === 1) return { rank: first.rank, a: first.a, b: first.b }
  const { outFeatures, inFeatures } = first
  const rank = modules.reduce((sum, module) => sum + module.rank, 0)
  const a = new Float32Array(rank * inFeatures)
  const b = new Float32Array(outFeatures * rank)
  let before = 0
  for (const module of modules) {
    a.set(module.a, before * inFeatures)
    const scale = scaleOf(module)
    for (let row = 0; row < outFeatures; row++)
      for (let r = 0; r < module.rank; r++)
        b[row * rank + before + r] = scale * (module.b[row * module.rank + r] as number)
    before += module.rank
  }
  return { rank, a, b }
}

/** Every module once, in the base, of the base's shape, rank and alpha positive; at least one (ADAPTER_MISMATCH). */
function checkModules(base: Base, modules: readonly LoraModule[]): void {
  if (modules.length === 0) throw mismatch("expected at least one module to train, got none")
  if (new Set(modules.map((module) => module.name)).size !== modules.length) throw mismatch("a module is listed twice")
  for (const module of modules) checkShape(base, module)
}

function checkFactors(base: Base, module: AdapterModule): void {
  checkShape(base, module)
  const { name, outFeatures, inFeatures, rank, a, b } = module
  if (a.length !== rank * inFeatures || b.length !== outFeatures * rank)
    throw mismatch(
      `module ${name}: expected A of ${rank * inFeatures} and B of ${outFeatures * rank} values, ` +
        `got ${a.length} and ${b.length}`,
    )
}

function checkShape(base: Base, { name, outFeatures, inFeatures, rank, alpha }: LoraModule): void {
  const weight = Object.hasOwn(base.linears, name) ? base.linears[name] : undefined
  if (weight === undefined || !moduleSlot(base.config, name))
    throw mismatch(`module ${name}: the base has no such linear layer`)
  if (weight.rows !== outFeatures || weight.cols !== inFeatures)
    throw mismatch(
      `module ${name}: expected ${weight.rows} x ${weight.cols} (out x in) as in the base, ` +
        `got ${outFeatures} x ${inFeatures}`,
    )
  if (!Number.isInteger(rank) || rank < 1 || !(alpha > 0) || !Number.isFinite(alpha))
    throw mismatch(`module ${name}: expected a whole rank of at least 1 and a positive alpha, got ${rank} and ${alpha}`)
}

function describe(module: { rank: number; alpha: number; scaling: ScalingRule } | undefined): string {
  if (module === undefined) return "none of this name"
  return `rank ${module.rank}, alpha ${module.alpha}, ${module.scaling}`
}

function mismatch(message: string): LaminaError {
  return new LaminaError("ADAPTER_MISMATCH", message)
}
