import { decodeAdapter } from "@lamina/protocol"
import type { Adapter } from "@lamina/protocol"
import type { Recipe } from "@lamina/protocol/recipe"
import type { RunningCoordinator } from "@lamina/server"
import type { TunerPool } from "@lamina/tuner"

import type { FederationView } from "../output/progress.js"
import { chance } from "./chance.js"
import { perplexity, scoreHeldOut } from "./held-out.js"
import type { HeldOutText, Scores } from "./held-out.js"
import type { History } from "./journal.js"
import type { VirtualClient } from "./virtual-client.js"

interface ScoringSetting {
  readonly recipe: Recipe
  readonly clients: readonly VirtualClient[]
  readonly coordinator: RunningCoordinator
  readonly run: string
  readonly history: History
  readonly pool: TunerPool
  readonly view: FederationView
  readonly signal: AbortSignal
}

/** Scores held-out data after rounds, one round after another, beside the training. */
export class RoundScores {
  readonly #texts: readonly HeldOutText[]
  #scoring: Promise<void> = Promise.resolve()

  constructor(
    private readonly setting: ScoringSetting,
    private readonly onFailure: (error: unknown) => void,
  ) {
    this.#texts = scoredTexts(setting)
  }

  /** Round 0 and what an earlier process published at once, then every round that is published. */
  watch(): void {
    const { coordinator, run } = this.setting
    this.#score(0, async () => [])
    const published = ({ round, adapterHash }: { round: number; adapterHash: string }) =>
      this.#score(round, async () => [decodeAdapter(await coordinator.adapter(adapterHash))])
    for (const { round, adapterHash } of coordinator.run(run).rounds)
      if (adapterHash !== undefined) published({ round, adapterHash })
    coordinator.on("roundPublished", published)
  }

  /** Resolves when every round published so far is scored. */
  settled(): Promise<void> {
    return this.#scoring
  }

  #score(round: number, adapters: () => Promise<readonly Adapter[]>): void {
    const { view } = this.setting
    this.#scoring = this.#scoring
      .then(async () => {
        const scores = this.#isDue(round) ? await this.#scoreRound(round, adapters) : undefined
        const summary = scores ? `held-out perplexity ${perplexity(scores.overall).toFixed(2)}` : ""
        if (round > 0) view.roundPublished({ round, summary })
        else if (scores) view.note(`base: ${summary}`)
      })
      .catch(this.onFailure)
  }

  #isDue(round: number): boolean {
    const { rounds, simulation } = this.setting.recipe
    return this.#texts.length > 0 && (round % (simulation?.scoreEvery ?? 1) === 0 || round >= rounds)
  }

  async #scoreRound(round: number, adapters: () => Promise<readonly Adapter[]>): Promise<Scores> {
    const { pool, recipe, signal, history } = this.setting
    const known = history.scores().find((scored) => scored.round === round)
    if (known) return known.scores
    const setting = { pool, baseFolder: recipe.base, context: recipe.training.context, signal }
    const given = await adapters()
    const scores = await scoreHeldOut({ ...setting, lossOn: recipe.training.lossOn }, this.#texts, () => given)
    history.add({ kind: "scores", round, scores })
    return scores
  }
}

/** Every client's held-out data, or as many as the recipe says, drawn by its seed. */
function scoredTexts({ clients, recipe }: ScoringSetting): HeldOutText[] {
  const texts = clients.flatMap(({ name, heldOut, precision }) =>
    heldOut === undefined ? [] : [{ name, data: heldOut, precision }],
  )
  const most = recipe.simulation?.scoredClients ?? texts.length
  if (most >= texts.length) return texts
  const drawn = texts.map((text) => ({ text, key: chance(recipe.seed, "scored", text.name) }))
  const chosen = new Set(
    drawn
      .sort((left, right) => left.key - right.key)
      .slice(0, most)
      .map(({ text }) => text),
  )
  return texts.filter((text) => chosen.has(text))
}
