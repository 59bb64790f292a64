import type { DeviceProfile } from "@lamina/planner"
import type { HeldPrecision } from "@lamina/protocol"
import type { SimulatedDevice } from "@lamina/protocol/recipe"

/** What a client says of itself, whatever its device. */
interface OwnSettings {
  readonly rank?: number | undefined
  readonly precision?: HeldPrecision | undefined
}

/** A simulated device as the planner sees it; what the client itself says goes first. */
export function profileOf(device: SimulatedDevice, own: OwnSettings = {}): DeviceProfile {
  const { memoryBytes, tokensPerSecond, uploadBytesPerSecond, downloadBytesPerSecond } = device
  return {
    ...{ memoryBytes, tokensPerSecond, uploadBytesPerSecond, downloadBytesPerSecond, timeCorrection: 1 },
    uploadBytesMax: device.uploadBytesMax ?? 0,
    rankMax: own.rank ?? device.rank ?? 0,
    precision: own.precision ?? device.precision ?? "",
  }
}
