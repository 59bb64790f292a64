/** The files that `org/repo:wanted` means: one of that path, else the GGUF files that say `wanted` in their name. */
export function matchFile(paths: readonly string[], wanted: string): string[] {
  const exact = paths.filter((path) => path === wanted)
  if (exact.length > 0) return exact
  const escaped = wanted.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")
  const word = new RegExp(`(^|[-._/])${escaped}([-.]|$)`, "i")
  return paths.filter((path) => /\.gguf$/i.test(path) && word.test(path))
}
