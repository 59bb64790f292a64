import { chooseLinalgBackend } from "../linalg/linalg.js"
import { addon } from "../native/addon.js"

/** Runs `body` on the reference and on every instruction set of this machine; what was chosen before is restored. */
export function eachLinalg(body: (backend: string) => void): void {
  chooseLinalgBackend("reference")
  body("reference")
  eachNativeLinalg(body)
}

/** Runs `body` with native linear algebra on every instruction set of this machine; amx has avx512's doubles. */
export function eachNativeLinalg(body: (isa: string) => void): void {
  const native = addon()
  const before = native.isa()
  chooseLinalgBackend("native")
  for (const isa of native.isas().filter((name) => !["amx", "avx512bf16"].includes(name))) {
    native.setIsa(isa)
    body(isa)
  }
  native.setIsa(before)
}
