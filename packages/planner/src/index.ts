export type {
  BaseShape,
  Binding,
  ClientPlan,
  DeviceProfile,
  Estimate,
  ModuleScores,
  PlanClient,
  PlanningTerms,
} from "./api.js"
export { averageScores } from "./average-scores.js"
export type { ScoreReport } from "./average-scores.js"
export { calibratedSpeed } from "./calibrated-speed.js"
export { corrected } from "./correction.js"
export { planClient } from "./plan-client.js"
export { costOf } from "./plan-cost.js"
export type { PlanCost } from "./plan-cost.js"
export { planCohort } from "./plan-cohort.js"
export type { PlannedClient } from "./plan-cohort.js"
export { termsOf } from "./terms.js"
