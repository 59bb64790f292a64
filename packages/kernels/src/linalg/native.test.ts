import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

import fc from "fast-check"

import { addon } from "../native/addon.js"
import { eachNativeLinalg } from "../testing/each-linalg.js"
import { seededRandom } from "../testing/random.js"
import { chooseLinalgBackend, linalgBackend } from "./linalg.js"
import * as linalg from "./linalg.js"
import { energy, Scratch, zeros } from "./matrix.js"
import type { Matrix } from "./matrix.js"
import type { Qr } from "./reference/householder-qr.js"
import { referenceMultiply } from "./reference/multiply.js"
import { referenceSymmetricEigen } from "./reference/symmetric-eigen.js"

/** Half a unit in the last place of 1. */
const U = 2 ** -53
const RUNS = { seed: 20260101, numRuns: 25 }

function random(rows: number, cols: number, seed: number): Matrix {
  return { rows, cols, data: Float64Array.from(seededRandom(seed).floats(rows * cols)) }
}

/** Random, of a lower rank, all zero, with rows from 1e-12 to 1, and with equal rows. */
type Kind = "random" | "deficient" | "zero" | "graded" | "equal"

function matrixOfKind(kind: Kind, rows: number, cols: number, seed: number): Matrix {
  if (kind === "zero") return zeros(rows, cols)
  const rank = Math.ceil(Math.min(rows, cols) / 3)
  if (kind === "deficient") return referenceMultiply(random(rows, rank, seed), random(rank, cols, seed + 1))
  const matrix = random(rows, cols, seed)
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < cols; j++) {
      if (kind === "graded") matrix.data[i * cols + j]! *= 10 ** ((-12 * i) / rows)
      if (kind === "equal") matrix.data[i * cols + j] = matrix.data[j]!
    }
  return matrix
}

/** Mostly tiny, and some beyond a tile's depth of 128. */
const side = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 40 }) },
  { weight: 1, arbitrary: fc.constant(1) },
  { weight: 1, arbitrary: fc.integer({ min: 120, max: 160 }) },
)
const anyMatrix = fc
  .record({
    kind: fc.constantFrom<Kind>("random", "deficient", "zero", "graded", "equal"),
    rows: side,
    cols: side,
    seed: fc.integer(),
  })
  .map(({ kind, rows, cols, seed }) => matrixOfKind(kind, rows, cols, seed))

const norm = (matrix: Matrix): number => Math.sqrt(energy(matrix))

function identity(size: number): Matrix {
  const matrix = zeros(size, size)
  for (let i = 0; i < size; i++) matrix.data[i * size + i] = 1
  return matrix
}

/** ||left - right||_F. */
function distance(left: Matrix, right: Matrix): number {
  expect([left.rows, left.cols]).toEqual([right.rows, right.cols])
  const data = left.data.map((value, i) => value - right.data[i]!)
  return norm({ ...left, data })
}

function expectWithin(got: number, bound: number, what: string): void {
  if (!(got <= bound)) throw new Error(`${what}: expected at most ${bound}, got ${got}`)
}

const transposed = ({ rows, cols, data }: Matrix): Matrix => ({
  rows: cols,
  cols: rows,
  data: Float64Array.from({ length: rows * cols }, (_, at) => data[(at % rows) * cols + Math.floor(at / rows)]!),
})

afterEach(() => chooseLinalgBackend("native"))

test("products equal the reference: each element's error is at most K rounded sums on either side", () => {
  // |error| <= K·u·sum |a||b| for each of the two (Higham, Accuracy and Stability, 3.1), whatever the order of the sum
  fc.assert(
    fc.property(anyMatrix, side, fc.integer(), (right, rows, seed) => {
      const left = random(rows, right.rows, seed)
      const sizes = referenceMultiply(
        { ...left, data: left.data.map(Math.abs) },
        { ...right, data: right.data.map(Math.abs) },
      )
      const wanted = referenceMultiply(left, right)
      const wantedGram = referenceMultiply(transposed(right), right)
      eachNativeLinalg((isa) => {
        const got = linalg.multiply(left, right)
        const excess = got.data.map(
          (value, i) => Math.abs(value - wanted.data[i]!) - 2 * right.rows * U * sizes.data[i]!,
        )
        expectWithin(Math.max(...excess), 0, `${isa}, an element's error beyond its bound`)
        // in norms: || |m|ᵀ|m| ||_F <= ||m||_F²
        expectWithin(distance(linalg.gram(right), wantedGram), 2 * right.rows * U * energy(right), `${isa}, gram`)
        expect(linalg.transpose(right)).toEqual(transposed(right))
      })
    }),
    RUNS,
  )
})

function checkQr(vectors: Matrix, what: string): void {
  const { rows: count, cols: length } = vectors
  const core = Math.min(count, length)
  const { triangle, applyQ } = linalg.qrOfRows(vectors)
  const below = triangle.data.filter((value, at) => at % count < Math.floor(at / count) && value !== 0)
  expect(below).toHaveLength(0)
  // c reflections, each with an error of some length·u relative to what it acts on: c·length·u with a constant that is
  // "a small integer" (Higham, theorem 19.4), here 8 for factoring and applying
  const bound = 8 * core * length * U
  expectWithin(distance(applyQ(transposed(triangle)), vectors), bound * norm(vectors), `${what}: Q·T`)
  const q = applyQ(identity(core))
  expectWithin(distance(referenceMultiply(q, transposed(q)), identity(core)), bound * Math.sqrt(core), `${what}: QᵀQ`)
}

test("qr gives back the vectors and an orthonormal Q, whatever the rank and the shape", () => {
  fc.assert(
    fc.property(anyMatrix, (vectors) => eachNativeLinalg((isa) => checkQr(vectors, isa))),
    RUNS,
  )
})

test("qr of long vectors and of many", () => {
  eachNativeLinalg((isa) => {
    checkQr(matrixOfKind("graded", 40, 1500, 1), isa)
    checkQr(matrixOfKind("deficient", 270, 280, 2), isa)
  })
})

test("qr in used memory gives the same bits as in fresh memory", () => {
  const scratch = new Scratch()
  scratch.take(5000).fill(NaN)
  const [first, again] = [linalg.qrOfRows(random(9, 100, 1)), linalg.qrOfRows(random(9, 100, 1), scratch)]
  expect(again.triangle).toEqual(first.triangle)
  expect(again.applyQ(identity(9))).toEqual(first.applyQ(identity(9)))
})

test("eigenvalues equal the reference's, and eigenvectors are orthonormal and belong to them", () => {
  fc.assert(
    fc.property(anyMatrix, (matrix) => {
      const symmetric = referenceMultiply(transposed(matrix), matrix)
      const size = symmetric.rows
      const wanted = referenceSymmetricEigen(symmetric).values
      // both are those of a matrix within some N·u·||A|| of A, and eigenvalues move no farther (Weyl); 8 as for the QR
      const bound = 8 * size * U * norm(symmetric)
      eachNativeLinalg((isa) => {
        const { values, vectors } = linalg.symmetricEigen(symmetric)
        for (const [i, value] of values.entries()) {
          expectWithin(Math.abs(value - wanted[i]!), 2 * bound, `${isa}, eigenvalue ${i}`)
          if (i > 0) expect(value).toBeLessThanOrEqual(values[i - 1]!)
        }
        const gram = referenceMultiply(vectors, transposed(vectors))
        expectWithin(distance(gram, identity(size)), 8 * size * U * Math.sqrt(size), `${isa}: orthonormal`)
        const scaled = { ...vectors, data: vectors.data.map((value, at) => value * values[Math.floor(at / size)]!) }
        expectWithin(distance(referenceMultiply(vectors, symmetric), scaled), 4 * bound, `${isa}: A·v - lambda·v`)
      })
    }),
    RUNS,
  )
})

test("results are the same bits on 1, 2 and 5 threads", () => {
  // sizes beyond which work is shared out: products, dots in pieces, the tridiagonal form
  const [left, right] = [random(600, 300, 1), random(300, 530, 2)]
  const vectors = random(70, 1700, 3)
  const symmetric = linalg.gram(random(460, 450, 4))
  eachNativeLinalg(() => {
    const results = [1, 2, 5].map((threads) => {
      addon().setThreads(threads)
      const [{ triangle, applyQ }, other] = linalg.qrOfEach([
        { vectors, scratch: new Scratch() },
        { vectors: right, scratch: new Scratch() },
      ]) as [Qr, Qr]
      const { values, vectors: rows } = linalg.symmetricEigen(symmetric)
      const all = [linalg.multiply(left, right).data, triangle.data, applyQ(random(30, 70, 5)).data, values, rows.data]
      all.push(other.triangle.data, other.applyQ(random(4, 300, 6)).data)
      return all.map((array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength))
    })
    for (const [i, bytes] of results[0]!.entries())
      for (const other of results.slice(1)) expect(bytes.equals(other[i]!)).toBe(true)
  })
  addon().setThreads(addon().processors())
})

test("conversions round once and transpose, at sizes a block does not divide", () => {
  const values = seededRandom(1).floats(70 * 45)
  const size = { rows: 70, cols: 45, scale: 0.3 }
  const wanted = { rows: 70, cols: 45, data: Float64Array.from(values, (value) => 0.3 * value) }
  for (const backend of ["native", "reference"] as const) {
    chooseLinalgBackend(backend)
    expect(linalg.matrixOf(values, size)).toEqual(wanted)
    expect(linalg.transposedOf(values, size)).toEqual(transposed(wanted))
    expect(linalg.floatsOf(wanted)).toEqual(new Float32Array(wanted.data))
    expect(linalg.floatsOfTransposed(wanted)).toEqual(new Float32Array(transposed(wanted).data))
  }
})

test("shapes that do not fit are refused", () => {
  const code = "KERNEL_SHAPE"
  for (const refused of [
    () => linalg.multiply(zeros(2, 3), zeros(4, 2)),
    () => linalg.symmetricEigen(zeros(2, 3)),
    () => linalg.matrixOf(new Float32Array(5), { rows: 2, cols: 3, scale: 1 }),
    () => linalg.qrOfRows(zeros(2, 9)).applyQ(zeros(3, 3)),
    () => linalg.qrOfEach(new Array(7).fill({ vectors: zeros(2, 2), scratch: new Scratch() })),
  ])
    expect(refused).toThrow(expect.objectContaining({ code }))
})

test("native is what computes where the addon is, until the reference is chosen", () => {
  expect(linalgBackend()).toBe("native")
  chooseLinalgBackend("reference")
  expect(linalgBackend()).toBe("reference")
})

test("@lamina/kernels/linalg imports nothing of tfjs", () => {
  const seen = new Set<string>()
  const visit = (file: string): void => {
    if (seen.has(file)) return
    seen.add(file)
    for (const [, name] of readFileSync(file, "utf8").matchAll(/^(?:import|export|\}).* from "([^"]+)"/gm)) {
      expect(name).toMatch(/^(\.|node:)/)
      if (name!.startsWith(".")) visit(join(dirname(file), name!.replace(/\.js$/, ".ts")))
    }
  }
  visit(join(dirname(fileURLToPath(import.meta.url)), "index.ts"))
  expect(seen.size).toBeGreaterThan(8)
})
