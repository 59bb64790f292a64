/** Letters of a client's name that come from its key; room stays for a number behind. */
const LETTERS_MAX = 56

/**
 * Names of `count` clients: `client-001`, or, where each has a key, the key in lower-case letters, digits and dashes; a
 * second client of one name gets `-2`, and so on.
 */
export function populationNames(count: number, keys?: readonly string[]): string[] {
  const digits = Math.max(3, String(count).length)
  if (keys === undefined)
    return Array.from({ length: count }, (_, i) => `client-${String(i + 1).padStart(digits, "0")}`)
  const taken = new Set<string>()
  return keys.slice(0, count).map((key) => {
    const plain = nameOf(key)
    let name = plain
    for (let number = 2; taken.has(name); number++) name = `${plain}-${number}`
    taken.add(name)
    return name
  })
}

function nameOf(key: string): string {
  const name = key
    .normalize("NFKD")
    .replace(/\p{M}/gu, "") // é is e and an accent
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, LETTERS_MAX)
    .replace(/^-+|-+$/g, "")
  return name === "" ? "key" : name
}
