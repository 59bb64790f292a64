import { fileURLToPath } from "node:url"

import { loadTokenizer } from "../tokenizer/load-tokenizer.js"
import type { Tokenizer } from "../tokenizer/tokenizer.js"
import { createTextStream } from "./text-stream.js"

const vectors = fileURLToPath(new URL("../../../../test/vectors/tokenizer/", import.meta.url))
/** Those whose decoder gives a text back as it was; "digits" parts digits with spaces. */
const styles = ["gpt2", "llama2-metaspace", "llama2-normalizer", "llama3", "smollm"]
const nothing = new Int32Array(0)
const load = (style: string): Promise<Tokenizer> => loadTokenizer(`${vectors}${style}`)

/** One byte, one token: what no vocabulary splits so finely. */
const bytes: Tokenizer = {
  encode: (text) => Int32Array.from(new TextEncoder().encode(text)),
  decode: (ids) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(Array.from(ids))),
  vocabularySize: 256,
}

function pieces(tokenizer: Tokenizer, text: string, stop: string[] = [], prompt = nothing): string[] {
  const stream = createTextStream(tokenizer, { prompt, stop })
  const out: string[] = []
  for (const id of tokenizer.encode(text)) {
    out.push(stream.push(id))
    if (stream.stopped) break
  }
  return [...out, stream.end()]
}

test("a character of several tokens comes once, whole", () => {
  expect(pieces(bytes, "a😀é")).toEqual(["a", "", "", "", "😀", "", "é", ""])
})

test.each(styles)("the pieces of a text are the text with tokenizer %s", async (style) => {
  const tokenizer = await load(style)
  const text = "Grüße, 東京! 👩‍🚀 is 3,5 km away.\n\n  Two spaces\tand a tab."
  const out = pieces(tokenizer, text)
  expect(out.join("")).toBe(tokenizer.decode(tokenizer.encode(text)))
  expect(out.join("")).toContain("👩‍🚀 is 3,5 km away.")
  for (const piece of out) expect(piece).not.toContain("\ufffd")
})

test.each(styles)("a space between prompt and answer is kept with tokenizer %s", async (style) => {
  const tokenizer = await load(style)
  const ids = tokenizer.encode("The capital of France is Paris")
  const prompt = tokenizer.encode("The capital of France is")
  expect([...ids.subarray(0, prompt.length)]).toEqual([...prompt]) // else this shows nothing
  const stream = createTextStream(tokenizer, { prompt, stop: [] })
  const text = [...ids.subarray(prompt.length)].map((id) => stream.push(id)).join("")
  expect(text + stream.end()).toBe(" Paris")
})

test("bytes that are no UTF-8 come out as the replacement character, at the latest after eight tokens", () => {
  const stream = createTextStream(bytes, { prompt: nothing, stop: [] })
  expect(stream.push(0xe2)).toBe("")
  expect(stream.end()).toBe("\ufffd")
  const broken = createTextStream(bytes, { prompt: nothing, stop: [] })
  const out = Array.from({ length: 9 }, () => broken.push(0xff))
  expect(out).toEqual(["", "", "", "", "", "", "", "\ufffd".repeat(8), ""])
})

test("what may begin a stop string is held back until it is certain", () => {
  expect(pieces(bytes, "ab--c", ["---"])).toEqual(["a", "b", "", "", "--c", ""])
  expect(pieces(bytes, "ab--", ["---"])).toEqual(["a", "b", "", "", "--"])
  expect(pieces(bytes, "ab---cd", ["---"])).toEqual(["a", "b", "", "", "", ""])
})

test("the first stop string in the text counts, and nothing of it or after it is text", () => {
  expect(pieces(bytes, "one\nQ: two", ["Q:", "\n"]).join("")).toBe("one")
  expect(pieces(bytes, "aab", ["aab", "ab"]).join("")).toBe("")
  const stream = createTextStream(bytes, { prompt: nothing, stop: ["x"] })
  expect([stream.push(0x61), stream.stopped, stream.push(0x78), stream.stopped]).toEqual(["a", false, "", true])
})
