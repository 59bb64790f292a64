/** Dense f64 matrix, row-major; M rows, N columns. */
export interface Matrix {
  readonly rows: number
  readonly cols: number
  readonly data: Float64Array
}

/** A zero matrix. */
export function zeros(rows: number, cols: number): Matrix {
  return { rows, cols, data: new Float64Array(rows * cols) }
}

/** `scale` times row-major `values` (M·N of them). */
export function matrixOf(
  values: Float32Array,
  { rows, cols, scale }: { rows: number; cols: number; scale: number },
): Matrix {
  const matrix = zeros(rows, cols)
  for (let i = 0; i < values.length; i++) matrix.data[i] = scale * values[i]!
  return matrix
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

export function transpose({ rows, cols, data }: Matrix): Matrix {
  const result = zeros(cols, rows)
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) result.data[j * rows + i] = data[i * cols + j]!
  return result
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
