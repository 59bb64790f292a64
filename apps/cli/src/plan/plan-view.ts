import type { BaseShape, Binding, ClientPlan, PlannedClient, PlanningTerms } from "@lamina/planner"

import { formatBytes, percent, renderTable } from "../output/table.js"
import { adapterGrid, adapterPicture, adapterText } from "./adapter-map.js"
import type { DeviceClass } from "./device-classes.js"

/** What is planned for one kind of client. */
export interface PlannedClass {
  readonly kind: DeviceClass
  readonly planned: PlannedClient
}

const WHY: Readonly<Record<Binding, string>> = {
  memory: "10 % more memory would train more",
  time: "a deadline 10 % later would train more",
  upload: "10 % more upload would train more",
  rank: "a larger rank would train more",
}

/** The plans as a table, what limits each and why, and where its adapters are. */
export function plansText(base: BaseShape, terms: PlanningTerms, classes: readonly PlannedClass[]): string {
  const names = base.modules.map(({ name }) => name)
  const rows = classes.flatMap(({ kind, planned }) =>
    planned.kind === "planned" ? [rowOf(kind, planned.plan, terms, names)] : [],
  )
  const head = ["device", "clients", "base", "adapters", "rows", "steps", "memory", "time", "upload", "value"]
  const details = classes.map(({ kind, planned }) => {
    const title = `${kind.device}${kind.clients.length > 0 ? ` (${some(kind.clients)})` : ""}`
    if (planned.kind === "infeasible") return `${title}: no plan fits: ${planned.error.message}`
    const { binding, modules, solver } = planned.plan
    const limits =
      binding.length === 0 ? "nothing limits it" : binding.map((name) => `${name}: ${WHY[name]}`).join("; ")
    const greedy = solver === "greedy" ? "; the solver ran out of time, a better plan may exist" : ""
    return `${title}: ${limits}${greedy}\n${adapterPicture(adapterGrid(names, modules), terms.ranks)}`
  })
  const legend = `ranks ${terms.ranks.join(", ")} from low to high, layers from left to right, · no adapter`
  return [...(rows.length > 0 ? [renderTable(head, rows)] : []), ...details, legend].join("\n\n")
}

function rowOf(
  { device, count, profile }: DeviceClass,
  plan: ClientPlan,
  terms: PlanningTerms,
  names: readonly string[],
): string[] {
  const { estimate, batch, accumulate } = plan
  const roundMs = estimate.downloadMs + estimate.trainMs + estimate.uploadMs
  const bytes = (used: number, available: number): string =>
    `${formatBytes(used)}${available > 0 ? ` of ${formatBytes(available)}` : ""}`
  return [
    ...[device, String(count), plan.precision, adapterText(adapterGrid(names, plan.modules))],
    `${batch}${accumulate > 1 ? ` x ${accumulate}` : ""}${plan.gradientCheckpointing ? ", checkpointing" : ""}`,
    plan.steps === terms.steps ? String(plan.steps) : `${plan.steps} of ${terms.steps}`,
    bytes(estimate.memoryBytes, profile.memoryBytes),
    `${seconds(roundMs)} of ${seconds(terms.deadlineMs)} s`,
    bytes(estimate.uploadBytes, profile.uploadBytesMax),
    percent(plan.value),
  ]
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)
}

function some(names: readonly string[]): string {
  return names.length <= 3 ? names.join(", ") : `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`
}
