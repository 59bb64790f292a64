export { nativeAvailable } from "../native/addon.js"
export { addFactors } from "./add-factors.js"
export type { FactorTerm } from "./add-factors.js"
export {
  addProduct,
  chooseLinalgBackend,
  floatsOf,
  floatsOfTransposed,
  gram,
  linalgBackend,
  matrixOf,
  multiply,
  qrOfEach,
  qrOfRows,
  symmetricEigen,
  transpose,
  transposedOf,
} from "./linalg.js"
export type { LinalgBackend } from "./linalg.js"
export { energy, Scratch, stackColumns, stackRows, zeros } from "./matrix.js"
export type { Matrix } from "./matrix.js"
export { productNorms } from "./product-norm.js"
export type { Qr, VectorSet } from "./reference/householder-qr.js"
export type { Eigen } from "./reference/symmetric-eigen.js"
export { signProbes } from "./sign-probes.js"
export { copyFloats, firstBeyond, placeFactors, placeFactorsProbed, freshFloats } from "./stack.js"
export type { FactorBlocks, StackPlace } from "./stack.js"
export { CLIENTS_AT_ONCE, energiesOfTaken, PRODUCTS_PER_ROW, takeFactors } from "./taken-factors.js"
export type { ClientFactors, TakenFactors } from "./taken-factors.js"
