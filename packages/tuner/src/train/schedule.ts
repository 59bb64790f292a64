import type { TrainingSettings } from "../api.js"

/** What a schedule needs to know of the settings. */
type ScheduleSettings = Pick<TrainingSettings, "schedule" | "steps" | "warmupSteps" | "learningRate">

/**
 * Learning rate of step `step` (0 .. steps-1), as the transformers schedules of the same names give it: it rises
 * linearly from 0 over `warmupSteps`, then stays (`constant`), falls linearly to 0 at `steps` (`linear`) or follows
 * half a cosine to 0 (`cosine`).
 */
export function learningRateAt(step: number, settings: ScheduleSettings): number {
  const { schedule, steps, warmupSteps, learningRate } = settings
  if (step < warmupSteps) return (learningRate * step) / Math.max(1, warmupSteps)
  if (schedule === "constant") return learningRate
  const progress = (step - warmupSteps) / Math.max(1, steps - warmupSteps)
  if (schedule === "linear") return learningRate * Math.max(0, 1 - progress)
  return learningRate * Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)))
}
