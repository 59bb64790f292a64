import { createTunerTrainer } from "@lamina/client"
import type { Trainer } from "@lamina/client"
import type { TunerPool } from "@lamina/tuner"

import type { Conductor } from "./conductor.js"
import type { VirtualClient } from "./virtual-client.js"

/** The production trainer on a virtual machine: its results are real, its speed is the device's. */
export function virtualTrainer(
  client: VirtualClient,
  { pool, conductor, calibration }: { pool: TunerPool; conductor: Conductor; calibration: number },
): Trainer {
  const real = createTunerTrainer({ pool })
  const trainer: Trainer = {
    calibrate: () =>
      Promise.resolve({
        kernels: `virtual ${client.deviceName}`,
        // clients report the speed of the calibration model, a device has that of the recipe's base
        tokensPerSecond: client.device.tokensPerSecond * calibration,
      }),
    train: (task, context) => {
      const modules = [task.globalAdapter, task.initial].flatMap((adapter) => adapter?.modules ?? [])
      const bytesDown = modules.reduce((sum, { a, b }) => sum + a.byteLength + b.byteLength, 0)
      const train = (stop: AbortSignal) =>
        real.train(task, { ...context, signal: AbortSignal.any([context.signal, stop]) })
      return conductor.work(client, { ...task, bytesDown }, train, context.signal)
    },
    close: () => real.close(),
  }
  return trainer
}
