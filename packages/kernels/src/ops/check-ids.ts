import { KernelError } from "../errors.js"

/** Throws KERNEL_SHAPE unless every id lies in min..vocabulary-1: kernels index tables with them. */
export function checkIds(
  what: string,
  ids: Int32Array,
  { min, vocabulary }: { min: number; vocabulary: number },
): void {
  for (const [index, id] of ids.entries())
    if (id < min || id >= vocabulary)
      throw new KernelError("KERNEL_SHAPE", `${what} ${index}: expected ${min}..${vocabulary - 1}, got ${id}`)
}
