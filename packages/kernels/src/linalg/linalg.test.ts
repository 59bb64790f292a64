import { eachLinalg } from "../testing/each-linalg.js"
import { seededRandom } from "../testing/random.js"
import { gram, matrixOf, multiply, qrOfRows, symmetricEigen, transpose } from "./linalg.js"
import { energy, stackColumns, stackRows, zeros } from "./matrix.js"
import type { Matrix } from "./matrix.js"
import { productNorms } from "./product-norm.js"

function random(rows: number, cols: number, seed: number): Matrix {
  return matrixOf(seededRandom(seed).floats(rows * cols), { rows, cols, scale: 1 })
}

/** Three loops. */
function naive(left: Matrix, right: Matrix): Float64Array {
  const product = new Float64Array(left.rows * right.cols)
  for (let i = 0; i < left.rows; i++)
    for (let j = 0; j < right.cols; j++)
      for (let k = 0; k < left.cols; k++)
        product[i * right.cols + j]! += left.data[i * left.cols + k]! * right.data[k * right.cols + j]!
  return product
}

function expectClose(got: ArrayLike<number>, want: ArrayLike<number>, bound: number): void {
  expect(got.length).toBe(want.length)
  for (let i = 0; i < want.length; i++)
    if (!(Math.abs(got[i]! - want[i]!) <= bound))
      throw new Error(`element ${i}: expected ${want[i]} within ${bound}, got ${got[i]}`)
}

const sizes = [1, 2, 3, 4, 5, 17, 33]

test("multiply and gram equal three loops over odd sizes", () =>
  eachLinalg(() => {
    for (const inner of sizes)
      for (const cols of sizes) {
        const [left, right] = [random(7, inner, inner), random(inner, cols, cols)]
        expectClose(multiply(left, right).data, naive(left, right), 33 * 2 ** -52)
        expectClose(gram(right).data, naive(transpose(right), right), 33 * 2 ** -52)
      }
  }))

test("multiply skips zeros on either side of a row without changing the product", () =>
  eachLinalg(() => {
    const right = random(9, 12, 3)
    for (let k = 0; k < 9; k++) for (let j = 0; j < 12; j++) if (j < k || j > k + 1) right.data[k * 12 + j] = 0
    const left = random(4, 9, 4)
    expectClose(multiply(left, right).data, naive(left, right), 9 * 2 ** -52)
    expect(multiply(left, zeros(9, 12)).data).toEqual(new Float64Array(48))
  }))

test("qr gives back the vectors, an upper triangle and orthonormal Q, tall and wide", () =>
  eachLinalg(() => {
    for (const count of sizes)
      for (const length of sizes) {
        const vectors = random(count, length, count * 100 + length)
        const { triangle, applyQ } = qrOfRows(vectors)
        const core = Math.min(count, length)
        for (let j = 0; j < core; j++) for (let i = 0; i < j; i++) expect(triangle.data[j * count + i]).toBe(0)
        // vector i is Q times column i of the triangle
        expectClose(applyQ(transpose(triangle)).data, vectors.data, 1e-13)
        const unit = zeros(core, core)
        for (let i = 0; i < core; i++) unit.data[i * core + i] = 1
        const q = applyQ(unit)
        expectClose(naive(q, transpose(q)), unit.data, 1e-14)
      }
  }))

test("qr of dependent and zero vectors still gives them back", () =>
  eachLinalg(() => {
    const one = random(1, 9, 1)
    const vectors = stackRows([one, { ...one, data: one.data.map((x) => 2 * x) }, zeros(1, 9), random(1, 9, 2)])
    const { triangle, applyQ } = qrOfRows(vectors)
    expectClose(applyQ(transpose(triangle)).data, vectors.data, 1e-14)
  }))

test("symmetricEigen: A·v = lambda·v, orthonormal, falling", () =>
  eachLinalg(() => {
    for (const size of sizes) {
      const symmetric = gram(random(size + 3, size, size))
      const { values, vectors } = symmetricEigen(symmetric)
      const images = naive(vectors, symmetric)
      for (let i = 0; i < size; i++) {
        if (i > 0) expect(values[i]).toBeLessThanOrEqual(values[i - 1]!)
        const scaled = vectors.data.subarray(i * size, (i + 1) * size).map((x) => x * values[i]!)
        // backward error of the order of size · 2^-53 · ||A||, ||A|| <= 36 · 33 / 3
        expectClose(images.subarray(i * size, (i + 1) * size), scaled, 1e-12)
      }
      const unit = Float64Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0))
      expectClose(naive(vectors, transpose(vectors)), unit, 1e-13)
    }
  }))

test("symmetricEigen knows the eigenvalues of known matrices", () =>
  eachLinalg(() => {
    // the path graph's Laplacian of n = 6 has 2 - 2 cos(pi k / n)
    const size = 6
    const path = zeros(size, size)
    for (let i = 0; i + 1 < size; i++) {
      path.data[i * size + i]! += 1
      path.data[(i + 1) * size + i + 1]! += 1
      path.data[i * size + i + 1] = path.data[(i + 1) * size + i] = -1
    }
    const expected = [5, 4, 3, 2, 1, 0].map((k) => 2 - 2 * Math.cos((Math.PI * k) / size))
    expectClose(symmetricEigen(path).values, expected, 1e-14)
    // multiplicities, a zero block, tiny and huge scales
    for (const unit of [1e-150, 1, 1e150]) {
      const diagonal = zeros(5, 5)
      for (const [i, value] of [3, 0, 3, -2, 0].entries()) diagonal.data[i * 6] = value * unit
      expectClose(symmetricEigen(diagonal).values, [3 * unit, 3 * unit, 0, 0, -2 * unit], unit * 1e-15)
    }
    expect(symmetricEigen(zeros(3, 3)).values).toEqual(new Float64Array(3))
  }))

test("productNorms equals the dense norm, tall and wide, and keeps digits where terms cancel", () =>
  eachLinalg(() => {
    for (const [rows, inner, cols] of [
      [20, 3, 15],
      [4, 9, 7],
      [8, 8, 8],
    ] as const) {
      const [b, a] = [random(rows, inner, 1), random(inner, cols, 2)]
      expect(productNorms(b, [a])[0]).toBeCloseTo(Math.sqrt(naive(b, a).reduce((sum, x) => sum + x * x, 0)), 12)
    }
    // [b, b]·[a; -(1 + 2^-30)·a] = -2^-30·b·a: thirty bits cancel
    const [b, a] = [random(20, 3, 3), random(3, 15, 4)]
    const nearly = { ...a, data: a.data.map((x) => -(1 + 2 ** -30) * x) }
    const [plain] = productNorms(b, [a])
    const [cancelled] = productNorms(stackColumns([b, b]), [stackRows([a, nearly])])
    expect(cancelled! / (2 ** -30 * plain!)).toBeCloseTo(1, 6)
    expect(energy(a)).toBeCloseTo(
      a.data.reduce((sum, x) => sum + x * x, 0),
      12,
    )
  }))
