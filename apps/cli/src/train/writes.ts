/** What a training writes while it goes: one after another. The first that fails stops the training and is kept. */
export class Writes {
  #last = Promise.resolve()
  #failure: { readonly error: unknown } | undefined

  constructor(private readonly onFailure: () => void) {}

  now(write: () => void): void {
    try {
      write()
    } catch (error) {
      this.#fail(error)
    }
  }

  next(write: () => Promise<void>): void {
    this.#last = this.#last.then(write).catch((error: unknown) => this.#fail(error))
  }

  /** When all of them are through; throws the first failure. */
  async done(): Promise<void> {
    await this.#last
    if (this.#failure) throw this.#failure.error
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.onFailure()
  }
}
