import { parse } from "yaml"

import { LaminaError } from "@lamina/protocol/errors"

/** What YAML or JSON says. Throws `code` with the line and column of a syntax error, in one line. */
export function parseYaml(text: string, { path, code }: { path: string; code: "RECIPE_INVALID" | "USAGE" }): unknown {
  try {
    return parse(text)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    // below the first line the parser shows the place
    throw new LaminaError(code, `${path} is not YAML: ${message.split("\n", 1)[0]?.replace(/:$/, "") ?? ""}`, { cause })
  }
}
