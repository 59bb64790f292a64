/** The files that `org/repo:wanted` means: one of that path, else the GGUF files that say `wanted` in their name. */
export function matchFile(paths: readonly string[], wanted: string): string[] {
  const exact = paths.filter((path) => path === wanted)
  if (exact.length > 0) return exact
  const escaped = wanted.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")
  const word = new RegExp(`(^|[-._/])${escaped}([-.]|$)`, "i")
  return paths.filter((path) => /\.gguf$/i.test(path) && word.test(path))
}

/** True for a path that the glob means: `*` within a name, `**` across folders, `?` one character. */
export function matchesGlob(path: string, glob: string): boolean {
  const pattern = glob.replace(/\*\*\/?|[*?.+^${}()|[\]\\]/g, (part) => {
    if (part.startsWith("**")) return ".*"
    if (part === "*") return "[^/]*"
    return part === "?" ? "[^/]" : `\\${part}`
  })
  return new RegExp(`^${pattern}$`).test(path)
}
