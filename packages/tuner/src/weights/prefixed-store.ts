import type { FamilyNames } from "../model/families/family.js"
import type { TensorStore } from "./safetensors-file.js"

/**
 * `store` with the names the family gives: checkpoints of the model without its head (GPT-2's own, for one) leave out
 * `prefix`, which is put back here.
 */
export function prefixedStore(store: TensorStore, { prefix, head }: FamilyNames): TensorStore {
  const names = [...store.tensors.keys()]
  if (prefix === "" || names.some((name) => name.startsWith(prefix))) return store
  const stored = new Map(names.map((name) => [name.startsWith(`${head}.`) ? name : `${prefix}${name}`, name]))
  const infos = [...store.tensors.values()]
  return {
    tensors: new Map([...stored.keys()].map((name, i) => [name, infos[i]!])),
    read: (name) => store.read(stored.get(name) ?? name),
    readFrozen: store.readFrozen && ((name) => store.readFrozen!(stored.get(name) ?? name)),
    close: () => store.close(),
  }
}
