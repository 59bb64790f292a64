import { Option } from "commander"

/** Options that several commands share. */
export const compute = (fallback: string): Option =>
  new Option("--compute <precision>", "arithmetic of the big products").choices(["f32", "bf16"]).default(fallback)
export const json = (): Option => new Option("--json", "print one JSON object as the last line of stdout")
export const backend = (): Option =>
  new Option("--backend <name>", "native (C++), cpu (reference), auto")
    .choices(["auto", "native", "cpu"])
    .default("auto")
