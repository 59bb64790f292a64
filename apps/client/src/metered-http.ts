import { contentLength, Http } from "./fetch/http.js"
import type { TransferMeter } from "./transfer-meter.js"

/** Bulk transfers that a meter watches. Repeats after a lost connection count as the time they take. */
export class MeteredHttp extends Http {
  readonly #meter: TransferMeter

  constructor(options: ConstructorParameters<typeof Http>[0], meter: TransferMeter) {
    super(options)
    this.#meter = meter
  }

  override async request<T>(request: HttpRequest, read: (answer: HttpAnswer) => Promise<T>): Promise<T> {
    const { body } = request
    if (body)
      return this.#measured(
        "upload",
        () => super.request(request, read),
        () => body.byteLength,
      )
    return super.request(request, (answer) =>
      this.#measured(
        "download",
        () => read(answer),
        () => contentLength(answer) ?? 0,
      ),
    )
  }

  async #measured<T>(direction: "upload" | "download", work: () => Promise<T>, bytes: () => number): Promise<T> {
    const end = this.#meter.begin(direction)
    let came = 0
    try {
      const result = await work()
      came = bytes()
      return result
    } finally {
      end(came)
    }
  }
}

type HttpRequest = Parameters<Http["request"]>[0]
type HttpAnswer = Parameters<Parameters<Http["request"]>[1]>[0]
