/** What a list of numbers is like; all NaN of an empty one. */
export interface Summary {
  readonly count: number
  readonly mean: number
  /** Of the population: divided by the count. */
  readonly deviation: number
  readonly least: number
  readonly most: number
}

export function summaryOf(values: readonly number[]): Summary {
  const count = values.length
  const mean = values.reduce((sum, value) => sum + value, 0) / count
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count)
  return { count, mean, deviation, least: quantile(values, 0), most: quantile(values, 1) }
}

/** The value below which a share `q` of the values lie, between neighbours in proportion; NaN of an empty list. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((left, right) => left - right)
  const at = q * (sorted.length - 1)
  const low = sorted[Math.floor(at)] ?? NaN
  return low + (at - Math.floor(at)) * ((sorted[Math.ceil(at)] ?? NaN) - low)
}

/** At most `count` of the values, evenly, the first and the last with them. */
export function evenly<T>(values: readonly T[], count: number): T[] {
  if (values.length <= count) return [...values]
  return Array.from({ length: count }, (_, i) => values[Math.round((i * (values.length - 1)) / (count - 1))] as T)
}

/** Largest unit that leaves numbers of at least 1. */
export function timeUnit(ms: number): { name: string; ms: number } {
  const units = [
    { name: "days", ms: 86_400_000 },
    { name: "hours", ms: 3_600_000 },
    { name: "minutes", ms: 60_000 },
    { name: "seconds", ms: 1_000 },
  ]
  return units.find((unit) => ms >= 2 * unit.ms) ?? { name: "ms", ms: 1 }
}

/** 5400000 -> "90.0 min". */
export function formatTime(ms: number): string {
  const unit = timeUnit(ms)
  return `${(ms / unit.ms).toFixed(unit.ms === 1 ? 0 : 1)} ${SHORT_UNITS[unit.name]}`
}

const SHORT_UNITS: Readonly<Record<string, string>> = { days: "d", hours: "h", minutes: "min", seconds: "s", ms: "ms" }
