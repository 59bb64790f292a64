import type { Trainer } from "@lamina/client"

export function deterministicTrainer(options?: {
  stepMs?: number
  dataTokens?: number
  onTrain?: (from: { round: number; step: number }) => void
}): Trainer
