/** Weight of the newest round: half of a lasting change is followed after two rounds. */
const SMOOTHING = 0.3

/** One round counts as at most so many times slower or faster: a laptop that slept is not a slow laptop. */
const RATIO_MAX = 4

/**
 * The time correction of the next round (`DeviceProfile.timeCorrection`), by exponential smoothing:
 * c <- (1 - 0.3) c + 0.3 c min(max(measured / estimated, 1/4), 4). `estimatedMs` is the plan's `estimate.trainMs`, the
 * earlier correction in it. An estimate or a time of 0 says nothing: the correction stays.
 */
export function corrected(previous: number, round: { estimatedMs: number; measuredMs: number }): number {
  const ratio = round.measuredMs / round.estimatedMs
  if (!Number.isFinite(ratio) || ratio <= 0) return previous
  return previous * (1 - SMOOTHING + SMOOTHING * Math.min(Math.max(ratio, 1 / RATIO_MAX), RATIO_MAX))
}
