export { nativeAvailable } from "../native/addon.js"
export {
  chooseLinalgBackend,
  floatsOf,
  floatsOfTransposed,
  gram,
  linalgBackend,
  matrixOf,
  multiply,
  qrOfRows,
  symmetricEigen,
  transpose,
  transposedOf,
} from "./linalg.js"
export type { LinalgBackend } from "./linalg.js"
export { energy, Scratch, stackColumns, stackRows, zeros } from "./matrix.js"
export type { Matrix } from "./matrix.js"
export { productNorms } from "./product-norm.js"
export type { Qr } from "./reference/householder-qr.js"
export type { Eigen } from "./reference/symmetric-eigen.js"
