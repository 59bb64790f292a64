import { parseRange } from "./range.js"

test("a range header is read as first-last, first- or the last n bytes, ends clipped to the size", () => {
  expect(parseRange("bytes=2-4", 10)).toEqual({ start: 2, end: 5 })
  expect(parseRange("bytes=7-", 10)).toEqual({ start: 7, end: 10 })
  expect(parseRange("bytes=-3", 10)).toEqual({ start: 7, end: 10 })
  expect(parseRange("bytes=-30", 10)).toEqual({ start: 0, end: 10 })
  expect(parseRange("bytes=8-99", 10)).toEqual({ start: 8, end: 10 })
})

test("a range outside the size is none, and what is no single range gets the whole", () => {
  expect(parseRange("bytes=10-", 10)).toBe("none")
  expect(parseRange("bytes=-0", 10)).toBe("none")
  for (const header of [undefined, "", "bytes=-", "bytes=5-2", "bytes=0-1,4-5", "items=0-1", "bytes=a-b"])
    expect(parseRange(header, 10)).toBe("whole")
})
