import { loadTokenizer } from "@lamina/tuner"
import type { ChatMessage, SamplingSettings } from "@lamina/tuner"

import type { OpenModel } from "../open-model.js"
import { modelTemplate } from "./model-template.js"

/** What a conversation needs besides its model. */
interface ConversationSettings {
  readonly system?: string
  readonly maxTokens: number
  readonly sampling: SamplingSettings
  readonly stop: readonly string[]
}

/** Questions and answers so far, and the model that answers. */
export interface Conversation {
  /**
   * Answers in the light of what was said before; what of it no longer fits the context is forgotten, the oldest first.
   * When `signal` aborts, the answer ends where it is and counts as said. Returns how many exchanges were forgotten.
   * Codes of TunerPool.generate, and DATA_MALFORMED when the template refuses the messages.
   */
  ask(question: string, options: { signal: AbortSignal; onText: (text: string) => void }): Promise<number>
  /** Forgets all but the system's message. */
  reset(): void
  /** What the system's message says from now on; an empty one is left out. */
  instruct(system: string): void
}

/** A conversation by the model's chat template. Codes of modelTemplate. */
export async function openConversation(model: OpenModel, settings: ConversationSettings): Promise<Conversation> {
  const template = await modelTemplate(model.job.base.folder)
  const tokenizer = await loadTokenizer(model.job.base.folder)
  const context = model.job.context ?? model.job.base.config.context
  let { system = "" } = settings
  let messages: ChatMessage[] = []
  let turn = 0
  const render = (): string => {
    const first = system === "" ? [] : [{ role: "system", content: system }]
    return template.render([...first, ...messages], { addGenerationPrompt: true })
  }
  /** At least half of the context is for the answer, where it may be that long. */
  const room = context - Math.min(settings.maxTokens, Math.floor(context / 2))
  return {
    async ask(question, { signal, onText }) {
      messages.push({ role: "user", content: question })
      let forgotten = 0
      while (messages.length > 1 && tokenizer.encode(render()).length > room) {
        messages = messages.slice(2)
        forgotten++
      }
      let answer = ""
      const onToken = ({ text }: { text: string }): void => {
        answer += text
        onText(text)
      }
      const { maxTokens, stop, sampling } = settings
      const seed = (sampling.seed + turn++) % 2 ** 32 // the same question may get another answer
      const work = { ...model.job, prompts: [render()], maxTokens, stop, sampling: { ...sampling, seed } }
      try {
        await model.pool.generate(work, { signal, onToken })
      } catch (error) {
        if (!signal.aborted) {
          messages.pop()
          throw error
        }
      }
      messages.push({ role: "assistant", content: answer })
      return forgotten
    },
    reset: () => void (messages = []),
    instruct: (text) => void (system = text),
  }
}
