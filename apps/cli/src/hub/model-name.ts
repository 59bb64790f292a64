import { LaminaError } from "@lamina/protocol/errors"

/** A model of a hub as written on a command line: `org/repo`, `org/repo:Q4_K_M`, `org/repo@revision:file.gguf`. */
export interface ModelName {
  /** `org/repo` */
  readonly repo: string
  /** Branch, tag or commit. */
  readonly revision: string
  /** A GGUF file's name, or the quantization in it (`Q4_K_M`). */
  readonly file: string | undefined
}

/** What a hub allows in the two parts of a name and in a revision, and what is safe as the name of a folder. */
const PATTERN =
  /^(?<repo>\w[\w.-]{0,95}\/\w[\w.-]{0,95})(?:@(?<revision>\w[\w./-]{0,199}))?(?::(?<file>\w[\w./+-]{0,254}))?$/
const DEFAULT_REVISION = "main"

/** The name that `text` is; undefined when it is not of that form. */
export function parseModelName(text: string): ModelName | undefined {
  const { repo, revision = DEFAULT_REVISION, file } = PATTERN.exec(text)?.groups ?? {}
  if (repo === undefined || !isSafePath(repo) || !isSafePath(revision)) return undefined
  if (file !== undefined && !isSafePath(file)) return undefined
  return { repo, revision, file }
}

/** `parseModelName` of a command's argument. USAGE. */
export function requireModelName(text: string): ModelName {
  const name = parseModelName(text)
  if (name !== undefined) return name
  throw new LaminaError("USAGE", `expected a model of a hub, org/repo or org/repo:FILE, got ${JSON.stringify(text)}`, {
    hint: "for example HuggingFaceTB/SmolLM2-135M-Instruct",
  })
}

/** The name as people write it. */
export function showModelName({ repo, revision, file }: ModelName): string {
  return `${repo}${revision === DEFAULT_REVISION ? "" : `@${revision}`}${file === undefined ? "" : `:${file}`}`
}

/** True for a relative path with `/` between plain names: none is empty, hidden or leads up. */
export function isSafePath(path: string): boolean {
  return path.length <= 255 && path.split("/").every((part) => /^\w[\w.+-]*$/.test(part) && !part.endsWith("."))
}
