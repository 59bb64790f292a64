/**
 * Ids 0..V-1 from the heaviest down, the lowest of equals first; lazily, from a heap: of tens of thousands of tokens
 * few are asked for, and sorting all takes longer than a step of a small model.
 */
export function* bestFirst(weights: Float64Array): Generator<number, undefined> {
  const heap = Int32Array.from(weights.keys())
  for (let node = (heap.length >>> 1) - 1; node >= 0; node--) sink({ heap, size: heap.length }, node, weights)
  for (let size = heap.length; size > 0; size--) {
    yield heap[0] as number
    heap[0] = heap[size - 1] as number
    sink({ heap, size: size - 1 }, 0, weights)
  }
}

/** Restores "no child before its parent" below `node`, where only `node` breaks it. */
function sink({ heap, size }: { heap: Int32Array; size: number }, node: number, weights: Float64Array): void {
  const before = (left: number, right: number): boolean => {
    const difference = (weights[left] as number) - (weights[right] as number)
    return difference > 0 || (difference === 0 && left < right)
  }
  const id = heap[node] as number
  for (;;) {
    let child = 2 * node + 1
    if (child >= size) break
    if (child + 1 < size && before(heap[child + 1] as number, heap[child] as number)) child++
    if (!before(heap[child] as number, id)) break
    heap[node] = heap[child] as number
    node = child
  }
  heap[node] = id
}
