import { missingChunks } from "./upload.js"

test("a chunk is missing unless its bit is set, lowest bit of the first byte first; a short map lacks the rest", () => {
  // 0b10000101: chunks 0, 2, 7; second byte 0b00000010: chunk 9
  expect(missingChunks(Uint8Array.of(0b1000_0101, 0b0000_0010), 12)).toEqual([1, 3, 4, 5, 6, 8, 10, 11])
  expect(missingChunks(new Uint8Array(0), 3)).toEqual([0, 1, 2])
  expect(missingChunks(Uint8Array.of(0xff), 8)).toEqual([])
})
