import type { ReportedRound, ReportedRun, ReportedTurn } from "../simulation-report.js"

/** A client's turn: 1 s download, 8 s training, 1 s upload, all done. */
export function turnOf(name: string, values: Partial<ReportedTurn> = {}): ReportedTurn {
  return {
    ...{ name, device: "laptop", rank: 8, outcome: "accepted", startMs: 0, downloadedMs: 1_000, trainedMs: 9_000 },
    ...{ endMs: 10_000, bytesUp: 1e6, bytesDown: 2e6, memoryBytes: 3e8, loss: 1.5 },
    ...values,
  }
}

export function roundOf(round: number, values: Partial<ReportedRound> = {}): ReportedRound {
  const perClient = { a: { loss: 1, accuracy: 0.5, tokens: 10 }, b: { loss: 3, accuracy: 0.1, tokens: 10 } }
  const heldOut = { loss: 2, accuracy: 0.3, perClient }
  return {
    ...{ round, openedMs: 0, closedMs: 12_000, bytesUp: 2e6, bytesDown: 4e6, heldOut },
    ...{ clients: [turnOf("a"), turnOf("b")], strategyError: 0, compressionError: 1e-3, stackedRank: 16, rank: 8 },
    coverage: [{ module: "model.layers.0.self_attn.q_proj", clients: 1, share: 0.5 }],
    ...values,
  }
}

export function runOf(name: string, values: Partial<ReportedRun> = {}): ReportedRun {
  const client = { device: "laptop", rank: 8, precision: "q8", tokens: 100, rows: 10 }
  return {
    ...{ name, strategy: "flora", rounds: [roundOf(1)] },
    spectrum: [{ module: "model.layers.0.self_attn.q_proj", values: [4, 2, 1] }],
    clients: ["a", "b"].map((own) => ({ name: own, ...client })),
    partition: [
      { name: "a", trainRows: 9, heldOutRows: 1, rowsByKey: { tea: 10 } },
      { name: "b", trainRows: 9, heldOutRows: 1, rowsByKey: { tea: 2, "<coffee>": 8 } },
    ],
    ...values,
  }
}
