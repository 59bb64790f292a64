/** `1 round`, `2 rounds`: a number of what takes an s. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`
}
