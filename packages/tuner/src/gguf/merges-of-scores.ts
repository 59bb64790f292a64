const NORMAL = 1

/**
 * BPE merges ("left right", first ones first) that merge as SentencePiece does by score: every pair of tokens that
 * makes a token, best score first; among pairs of one token the one of lower ids (transformers' generate_merges).
 */
export function mergesOfScores(
  tokens: readonly string[],
  { scores, types }: { scores: readonly number[]; types: readonly number[] },
): string[] {
  const ids = new Map(tokens.map((token, id) => [token, id]))
  const merges: { merge: string; score: number }[] = []
  const ordered = tokens.map((token, id) => ({ token, score: scores[id] ?? 0, type: types[id] ?? NORMAL }))
  for (const { token, score, type } of ordered) {
    if (type !== NORMAL) continue // bytes, control and unused tokens are never made of others
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
