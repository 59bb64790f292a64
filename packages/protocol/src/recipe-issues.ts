import type { z } from "zod"

/** As much of a JSON Schema as leads from a path to the keys that may stand there. */
export interface SchemaNode {
  readonly additionalProperties?: SchemaNode | boolean
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly items?: SchemaNode
  readonly anyOf?: readonly SchemaNode[]
  readonly oneOf?: readonly SchemaNode[]
  readonly const?: unknown
  readonly default?: unknown
}

type Issue = z.core.$ZodIssue

/** An issue of a recipe in one line or several: path, what was expected, what came. `schema` is the recipe's. */
export function describeIssue(issue: Issue, schema: SchemaNode): string {
  const meant = meantIssues(issue)
  if (meant) return meant.map((each) => describeIssue(each, schema)).join("\n")
  const path = issue.path.length > 0 ? issue.path.join(".") : "recipe"
  if (issue.code === "unrecognized_keys") {
    const known = keysAt(schema, issue.path, issue.input)
    const unknown = issue.keys.map((key) => `"${key}"`).join(", ")
    return `${path}: expected the keys ${known.join(", ")}, got ${unknown}`
  }
  if (issue.code === "custom") return `${path}: ${issue.message}`
  return `${path}: ${issue.message} (got ${describeInput(issue.input)})`
}

/** Of something that may be of several kinds (a file, or an object): what is wrong with it as the kind that it is. */
function meantIssues(issue: Issue): Issue[] | undefined {
  if (issue.code !== "invalid_union") return undefined
  const ofAnother = ({ code, path }: Issue) =>
    path.length === 0 && (code === "invalid_type" || code === "invalid_value")
  const ofItsKind = issue.errors.filter((issues) => !issues.some(ofAnother))
  const [only, ...others] = ofItsKind
  if (only === undefined || only.length === 0 || others.length > 0) return undefined
  return only.map((each) => ({ ...each, path: [...issue.path, ...each.path] }))
}

function describeInput(input: unknown): string {
  if (input === undefined) return "nothing"
  if (typeof input !== "object" || input === null) return JSON.stringify(input) ?? typeof input
  return Array.isArray(input) ? `a list of ${input.length}` : "an object"
}

/** The keys an object at this path may have; where several kinds of it differ by a constant, those of its own kind. */
function keysAt(schema: SchemaNode, path: readonly PropertyKey[], input: unknown): string[] {
  let nodes = kindsOf(schema)
  for (const step of path) nodes = nodes.flatMap((node) => childrenOf(node, step))
  const own = nodes.filter((node) => agrees(node, input))
  return [...new Set((own.length > 0 ? own : nodes).flatMap(({ properties }) => Object.keys(properties ?? {})))]
}

function childrenOf({ items, properties, additionalProperties }: SchemaNode, step: PropertyKey): SchemaNode[] {
  const child = typeof step === "number" ? items : (properties?.[String(step)] ?? additionalProperties)
  return typeof child === "object" ? kindsOf(child) : []
}

function kindsOf(node: SchemaNode): SchemaNode[] {
  const kinds = [...(node.anyOf ?? []), ...(node.oneOf ?? [])]
  return kinds.length === 0 ? [node] : kinds.flatMap(kindsOf)
}

/** Whether what has to be a constant is one. */
function agrees({ properties = {} }: SchemaNode, input: unknown): boolean {
  const given: Readonly<Record<string, unknown>> = { ...(typeof input === "object" ? input : {}) }
  return Object.entries(properties).every(([key, node]) => node.const === undefined || node.const === given[key])
}
