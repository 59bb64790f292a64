/** Where row `row` of a tensor in a file goes in memory. */
export type RowOrder = (row: number) => number

/**
 * Row 2i + s of a head in a GGUF file is row i + s · headDim / 2 of it in transformers: llama.cpp rotates neighbouring
 * rows of a llama's query and key, transformers those half a head apart (RoFormer, arXiv:2104.09864, equation 15).
 */
export function halvesApart(headDim: number): RowOrder {
  const half = headDim / 2
  return (row) => {
    const within = row % headDim
    return row - within + (within >> 1) + (within & 1) * half
  }
}
