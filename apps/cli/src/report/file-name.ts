/** A name as part of a file's: runs of anything but letters, digits, dots and dashes are one dash. */
export function fileName(name: string): string {
  return name.replace(/[^\w.-]+/g, "-").replace(/^\.+/, "-") // never "." or ".."
}
