/**
 * One byte range of a Range header, end exclusive; `whole` where there is none we serve, `none` where it lies
 * outside.
 */
type ByteRange = { readonly start: number; readonly end: number } | "whole" | "none"

/** RFC 9110, 14.2: `bytes=a-b`, `bytes=a-`, `bytes=-n`. Several ranges, or anything else, get the whole. */
export function parseRange(header: string | undefined, size: number): ByteRange {
  const match = header === undefined ? null : /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header.trim())
  if (!match || (match[1] === "" && match[2] === "")) return "whole"
  const [first, last] = [match[1]!, match[2]!]
  if (first === "") {
    const count = Math.min(Number(last), size)
    return count === 0 ? "none" : { start: size - count, end: size }
  }
  const start = Number(first)
  const end = last === "" ? size : Math.min(Number(last) + 1, size)
  if (last !== "" && Number(last) < start) return "whole"
  return start >= size ? "none" : { start, end }
}
