import { LaminaError } from "@lamina/protocol/errors"

const NORMAL = 1
/** Every way to cut a token is tried; SentencePiece makes none longer than 16 characters unless it is told to. */
const TOKEN_LENGTH_MAX = 1_024

/**
 * BPE merges ("left right", first ones first) that merge as SentencePiece does by score: every pair of tokens that
 * makes a token, best score first; among pairs of one token the one of lower ids (transformers' generate_merges).
 * TOKENIZER_MALFORMED for a token too long for that; `where` begins the message.
 */
export function mergesOfScores(
  tokens: readonly string[],
  { scores, types, where }: { scores: readonly number[]; types: readonly number[]; where: string },
): string[] {
  const ids = new Map(tokens.map((token, id) => [token, id]))
  const merges: { merge: string; score: number }[] = []
  const ordered = tokens.map((token, id) => ({ token, score: scores[id] ?? 0, type: types[id] ?? NORMAL }))
  for (const [id, { token, score, type }] of ordered.entries()) {
    if (type !== NORMAL) continue // bytes, control and unused tokens are never made of others
    if (token.length > TOKEN_LENGTH_MAX)
      throw new LaminaError(
        "TOKENIZER_MALFORMED",
        `${where}: token ${id}: expected at most ${TOKEN_LENGTH_MAX} characters, got ${token.length}`,
      )
    for (const [left, right] of splits(token, ids)) merges.push({ merge: `${left} ${right}`, score })
  }
  return merges.sort((first, second) => second.score - first.score).map(({ merge }) => merge)
}

/** Ways to cut a token into two tokens, lower ids first. */
function splits(token: string, ids: ReadonlyMap<string, number>): [string, string][] {
  const found: { pair: [string, string]; left: number; right: number }[] = []
  for (let cut = 1; cut < token.length; cut++) {
    const pair: [string, string] = [token.slice(0, cut), token.slice(cut)]
    const left = ids.get(pair[0])
    const right = ids.get(pair[1])
    if (left !== undefined && right !== undefined) found.push({ pair, left, right })
  }
  return found.sort((one, other) => one.left - other.left || one.right - other.right).map(({ pair }) => pair)
}
