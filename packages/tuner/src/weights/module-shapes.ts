import { compareNames } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"

import type { ModelConfig, ModuleShape } from "../api.js"
import { familyOf } from "../model/families/families.js"
import type { LinearName } from "../model/families/family.js"

/** A matrix of a checkpoint. */
export interface MatrixShape extends ModuleShape {
  /** Stored (in, out), as transformers' Conv1D has it. */
  readonly transposed: boolean
}

/** A vector of a checkpoint: the weight of a norm (`name`.weight), or the bias of a norm or linear (`name`.bias). */
export interface VectorShape {
  readonly name: string
  readonly part: "weight" | "bias"
  readonly size: number
}

/** The linears of one block by path, each with its (M,N) = (out, in) features. */
function blockShapes(config: ModelConfig): (ModuleShape & { readonly linear: LinearName })[] {
  const { hidden, ffn } = config
  const [wide, narrow] = [config.heads * config.headDim, config.kvHeads * config.headDim]
  const sizes: Record<LinearName, readonly [number, number]> = {
    qkv: [wide + 2 * narrow, hidden],
    q: [wide, hidden],
    k: [narrow, hidden],
    v: [narrow, hidden],
    o: [hidden, wide],
    gate: [ffn, hidden],
    up: [ffn, hidden],
    down: [hidden, ffn],
  }
  return Object.entries(familyOf(config).names.linears).map(([linear, name]) => {
    const [outFeatures, inFeatures] = sizes[linear as LinearName]
    return { name, outFeatures, inFeatures, linear: linear as LinearName }
  })
}

/**
 * The linears of every block that `targetModules` names by their last part (`q_proj`, as PEFT's target_modules; or
 * "all-linear"), sorted by name. RECIPE_INVALID for a name the architecture does not have.
 */
export function moduleShapes(config: ModelConfig, targetModules: "all-linear" | readonly string[]): ModuleShape[] {
  const shapes = blockShapes(config).map(({ name, outFeatures, inFeatures }) => ({ name, outFeatures, inFeatures }))
  const known = [...new Set(shapes.map(({ name }) => lastPart(name)))]
  const targets = targetModules === "all-linear" ? known : targetModules
  const unknown = targets.find((target) => !known.includes(target))
  if (unknown !== undefined)
    throw new LaminaError(
      "RECIPE_INVALID",
      `lora.targetModules: expected some of ${known.join(", ")} or "all-linear" for a ${config.architecture} base, ` +
        `got ${JSON.stringify(unknown.slice(0, 80))}`,
    )
  const wanted = shapes.filter(({ name }) => targets.includes(lastPart(name)))
  return inEveryLayer(config, wanted).sort((left, right) => compareNames(left.name, right.name))
}

/**
 * Every matrix of a checkpoint: embedding, learned positions, the blocks' linears in layer order, the head when it is
 * not the embedding.
 */
export function linearShapes(config: ModelConfig): MatrixShape[] {
  const { names, transposed } = familyOf(config)
  const table = { outFeatures: config.vocabulary, inFeatures: config.hidden, transposed: false }
  const positions = names.positions && { ...table, name: names.positions, outFeatures: config.context }
  const blocks = blockShapes(config).map(({ name, outFeatures, inFeatures }) => ({
    ...{ name, outFeatures, inFeatures, transposed },
  }))
  return [
    { ...table, name: names.embed },
    ...(positions ? [positions] : []),
    ...inEveryLayer(config, blocks),
    ...(config.tiedHead ? [] : [{ ...table, name: names.head }]),
  ]
}

/** Every vector of a checkpoint: the norms' weights, and biases where norms and linears have them. */
export function vectorShapes(config: ModelConfig): VectorShape[] {
  const { names, norm } = familyOf(config)
  const parts = norm === "layer" ? (["weight", "bias"] as const) : (["weight"] as const)
  const norms = [names.attentionNorm, names.mlpNorm].flatMap((name) =>
    parts.map((part) => ({ name, part, size: config.hidden })),
  )
  const headNorms = [names.qNorm, names.kNorm].flatMap((name) =>
    name === undefined ? [] : [{ name, part: "weight" as const, size: config.headDim }],
  )
  const biases = blockShapes(config)
    .filter(({ linear }) => config.biases?.includes(linear))
    .map(({ name, outFeatures }) => ({ name, part: "bias" as const, size: outFeatures }))
  return [
    ...inEveryLayer(config, [...norms, ...headNorms, ...biases]),
    ...parts.map((part) => ({ name: names.norm, part, size: config.hidden })),
  ]
}

function inEveryLayer<Shape extends { readonly name: string }>(config: ModelConfig, shapes: readonly Shape[]): Shape[] {
  const { layers } = familyOf(config).names
  const ofLayer = (_: unknown, layer: number): Shape[] =>
    shapes.map((shape) => ({ ...shape, name: `${layers}.${layer}.${shape.name}` }))
  return Array.from({ length: config.layers }, ofLayer).flat()
}

function lastPart(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1)
}
