/** Dense f64 matrix, row-major; M rows, N columns. */
export interface Matrix {
  readonly rows: number
  readonly cols: number
  readonly data: Float64Array
}

/**
 * Memory that a loop over modules uses again: fresh pages cost more than the arithmetic on them. What was taken is
 * valid until it is taken again.
 */
export class Scratch {
  #memory = new Float64Array(0)

  /** `length` elements of undefined content. */
  take(length: number): Float64Array {
    if (this.#memory.length < length) this.#memory = new Float64Array(length)
    return this.#memory.subarray(0, length)
  }

  /** As many floats, in the same memory. */
  takeFloats(length: number): Float32Array {
    return new Float32Array(this.take(Math.ceil(length / 2)).buffer, 0, length)
  }
}

/** A zero matrix. */
export function zeros(rows: number, cols: number): Matrix {
  return { rows, cols, data: new Float64Array(rows * cols) }
}

/** Parts under one another; all have the same number of columns. */
export function stackRows(parts: readonly Matrix[]): Matrix {
  const stacked = zeros(sum(parts.map(({ rows }) => rows)), parts[0]!.cols)
  let offset = 0
  for (const { data } of parts) {
    stacked.data.set(data, offset)
    offset += data.length
  }
  return stacked
}

/** Parts side by side; all have the same number of rows. */
export function stackColumns(parts: readonly Matrix[]): Matrix {
  const stacked = zeros(parts[0]!.rows, sum(parts.map(({ cols }) => cols)))
  let column = 0
  for (const { rows, cols, data } of parts) {
    for (let i = 0; i < rows; i++) stacked.data.set(data.subarray(i * cols, (i + 1) * cols), i * stacked.cols + column)
    column += cols
  }
  return stacked
}

/** ||m||_F². */
export function energy({ data }: Matrix): number {
  let total = 0
  for (let i = 0; i < data.length; i++) total += data[i]! * data[i]!
  return total
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
