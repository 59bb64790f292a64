import type { Answer, ClientId } from "./round.js"

/**
 * Answers by client. Adding gives another collection and leaves this one as it is; where it is the newest, as it is
 * while a round collects, nothing is copied: both read the same map, the older one only its own first `size` entries.
 */
export class Answers {
  static readonly none = new Answers(new Map(), 0)

  private constructor(
    /** In the order in which they came; `at` counts from 0. */
    private readonly shared: Map<ClientId, { readonly answer: Answer; readonly at: number }>,
    readonly size: number,
  ) {}

  get(id: ClientId): Answer | undefined {
    const known = this.shared.get(id)
    return known && known.at < this.size ? known.answer : undefined
  }

  has(id: ClientId): boolean {
    return this.get(id) !== undefined
  }

  /** `id` must not have answered yet. */
  with(id: ClientId, answer: Answer): Answers {
    const newest = this.shared.size === this.size && this.size > 0
    const shared = newest ? this.shared : new Map([...this.shared].filter(([, { at }]) => at < this.size))
    shared.set(id, { answer, at: this.size })
    return new Answers(shared, this.size + 1)
  }
}
