import { perplexity, pooled } from "./held-out.js"

test("pooling weighs each text by its tokens", () => {
  // (1·2 + 3·6) / 4 = 5
  expect(
    pooled([
      { loss: 2, accuracy: 1, tokens: 1 },
      { loss: 6, accuracy: 0.2, tokens: 3 },
    ]),
  ).toEqual({ loss: 5, accuracy: expect.closeTo(0.4), tokens: 4 }) // (1·1 + 0.2·3) / 4
  expect(pooled([])).toEqual({ loss: 0, accuracy: 0, tokens: 0 })
})

test("perplexity is e to the loss", () => {
  expect(perplexity({ loss: Math.log(50), accuracy: 0, tokens: 9 })).toBeCloseTo(50, 9)
})
