/** The one line of `--json`: nothing else goes to stdout after it. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
