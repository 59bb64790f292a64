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
