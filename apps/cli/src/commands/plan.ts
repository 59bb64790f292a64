import { planCohort, termsOf } from "@lamina/planner"
import type { BaseShape } from "@lamina/planner"
import { factorCount } from "@lamina/protocol"
import type { Recipe } from "@lamina/protocol/recipe"

import { printJson } from "../output/json.js"
import { baseShapeOf } from "../plan/base-shape.js"
import { deviceClasses } from "../plan/device-classes.js"
import { plansText } from "../plan/plan-view.js"
import type { PlannedClass } from "../plan/plan-view.js"
import { loadScores } from "../plan/scores-file.js"
import { loadRecipe, ofRecipe } from "../recipe-file.js"

interface PlanOptions {
  /** JSON file: module -> importance. */
  readonly scores?: string
  readonly json?: boolean
}

/** `lamina plan`: what each kind of client of a recipe's simulation would train, and what limits it. Trains nothing. */
export async function planCommand(recipePath: string, options: PlanOptions): Promise<void> {
  const { recipe } = await loadRecipe(recipePath)
  const { classes, base } = await ofRecipe(recipePath, async () => {
    return { classes: deviceClasses(recipe), base: await baseShapeOf(recipe.base, recipe.lora.targetModules) }
  })
  const scores = await loadScores(options.scores, base)
  const terms = termsOf(recipe, { adapterBytes: adapterBytesOf(recipe, base) })
  const profiles = classes.map(({ profile }) => profile)
  const plans = await planCohort(base, profiles, scores, terms)
  const planned = classes.map((kind, i) => ({ kind, planned: plans[i] as PlannedClass["planned"] }))
  if (options.json) printJson({ recipe: recipe.name, terms, plans: planned.map(jsonOf) })
  else process.stdout.write(`${plansText(base, terms, planned)}\n`)
}

/** f32 factors of a global adapter of `globalAdapter.maxRank`, else `lora.rank`, on every linear that is trained. */
function adapterBytesOf({ globalAdapter, lora }: Recipe, { modules }: BaseShape): number {
  const rank = globalAdapter.maxRank ?? lora.rank
  return 4 * factorCount(modules.map((module) => ({ ...module, rank })))
}

function jsonOf({ kind, planned }: PlannedClass): unknown {
  if (planned.kind === "planned") return { ...kind, plan: planned.plan }
  const { code, message } = planned.error
  return { ...kind, problem: { code, message } }
}
