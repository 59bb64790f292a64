import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

/** Where scripts/fetch-smollm2.mjs puts the model that these tests are about. */
export const realModel = fileURLToPath(new URL("../../models/.cache/SmolLM2-135M-Instruct.Q4_1.gguf", import.meta.url))

/** `describe` where the model is there; elsewhere its tests are skipped, and their names say why. */
export function describeReal(name: string, tests: () => void): void {
  if (existsSync(realModel)) describe(name, tests)
  else describe.skip(`${name} (skipped: the model is not in models/.cache; npm run test:real fetches it)`, tests)
}

/** What test/oracle/real_model.py wrote. */
export interface RealFigures {
  readonly model: { readonly sha256: string; readonly bytes: number }
  readonly text: {
    readonly ids: number
    readonly window: number
    /** Predicted ones. */
    readonly tokens: number
    readonly loss: number
    readonly perplexity: number
    readonly firstWindowLoss: number
  }
  readonly answers: readonly {
    readonly question: string
    readonly prompt: string
    readonly promptIds: readonly number[]
    readonly ids: readonly number[]
    /** How far each token's logit was above the next best one's. */
    readonly margins: readonly number[]
    readonly text: string
  }[]
  readonly tokenizer: readonly { readonly text: string; readonly ids: readonly number[] }[]
}

const vectors = new URL("../vectors/real/", import.meta.url)

/** The text whose loss is in the figures. */
export const realText = fileURLToPath(new URL("text.txt", vectors))

export function realFigures(): RealFigures {
  return JSON.parse(readFileSync(new URL("smollm2-135m.json", vectors), "utf8")) as RealFigures
}
