import { perplexity, pooled } from "./held-out.js"

test("pooling weighs each text by its tokens", () => {
  // (1·2 + 3·6) / 4 = 5
  expect(
    pooled([
      { loss: 2, tokens: 1 },
      { loss: 6, tokens: 3 },
    ]),
  ).toEqual({ loss: 5, tokens: 4 })
})

test("perplexity is e to the loss", () => {
  expect(perplexity({ loss: Math.log(50), tokens: 9 })).toBeCloseTo(50, 9)
})
