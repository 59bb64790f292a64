import type { HeldPrecision } from "@lamina/protocol"
import { Option } from "commander"

/** Options that several commands share. */
export const compute = (fallback: string): Option =>
  new Option("--compute <precision>", "arithmetic of the big products").choices(["f32", "bf16"]).default(fallback)
/** How a client holds the base: the words of recipes and plans. */
export const heldPrecision = (): Option => {
  const formats: readonly HeldPrecision[] = ["f32", "bf16", "q8", "q4", "nf4"]
  return new Option("--precision <format>", "how to hold the base in memory").choices(formats)
}
export const json = (): Option => new Option("--json", "print one JSON object as the last line of stdout")
export const backend = (): Option =>
  new Option("--backend <name>", "native (C++), cpu (reference), auto")
    .choices(["auto", "native", "cpu"])
    .default("auto")
