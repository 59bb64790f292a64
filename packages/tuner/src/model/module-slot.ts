/** The seven linear layers of a block, by the names PEFT uses for them. */
export const BLOCK_LINEARS = {
  q: "self_attn.q_proj",
  k: "self_attn.k_proj",
  v: "self_attn.v_proj",
  o: "self_attn.o_proj",
  gate: "mlp.gate_proj",
  up: "mlp.up_proj",
  down: "mlp.down_proj",
} as const
export type LinearName = keyof typeof BLOCK_LINEARS

/** Where a linear layer sits in the decoder. */
export interface ModuleSlot {
  readonly layer: number
  readonly linear: LinearName
}

const byPath = new Map(Object.entries(BLOCK_LINEARS).map(([linear, path]) => [path as string, linear as LinearName]))

/** `model.layers.3.mlp.up_proj` -> layer 3, up; undefined for a name that is none of the decoder's linear layers. */
export function moduleSlot(name: string): ModuleSlot | undefined {
  const match = /^model\.layers\.(0|[1-9]\d{0,5})\.(.+)$/.exec(name)
  const linear = byPath.get(match?.[2] ?? "")
  return linear && { layer: Number(match?.[1]), linear }
}
