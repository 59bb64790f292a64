import { statfs } from "node:fs/promises"
import { availableParallelism, cpus, freemem, totalmem } from "node:os"
import { dirname } from "node:path"

import { createTunerTrainer } from "@lamina/client"
import { describeKernels } from "@lamina/kernels"
import type { HeldPrecision } from "@lamina/protocol"
import { calibrate, sharedBase } from "@lamina/tuner"

import { listModels } from "../hub/model-cache.js"
import { modelsFolder } from "../hub/models-folder.js"
import { modelPath } from "../model-path.js"
import { printJson } from "../output/json.js"
import { formatBytes } from "../output/table.js"
import { openPool } from "../pool.js"

interface DoctorOptions {
  /** A model to measure training on. */
  readonly base?: string
  readonly precision: HeldPrecision
  readonly json?: boolean
}

/**
 * `lamina doctor`: what this machine can do, what is missing and how to get it. Measures, does not guess; two seconds
 * of it are the calibration that a client reports to its coordinator.
 */
export async function doctor(options: DoctorOptions): Promise<void> {
  const disk = await statfs(process.cwd())
  const models = modelsFolder()
  const cached = (await listModels(models)).reduce((sum, { bytes }) => sum + bytes, 0)
  const report = {
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    freeMemoryBytes: freemem(),
    diskFreeBytes: disk.bavail * disk.bsize,
    models: { folder: models, bytes: cached, diskFreeBytes: await freeBytes(models) },
    kernels: describeKernels(),
    calibration: await calibration(),
    ...(options.base === undefined ? {} : { training: await measure(options.base, options.precision) }),
  }
  if (options.json) return printJson(report)
  const { kernels, training } = report
  const lines = [
    `node       ${report.node} on ${report.platform}`,
    `processor  ${report.cpu}, ${report.cores} cores`,
    `memory     ${formatBytes(report.memoryBytes)}, ${formatBytes(report.freeMemoryBytes)} free`,
    `disk       ${formatBytes(report.diskFreeBytes)} free in this folder`,
    `models     ${formatBytes(cached)} in ${models}, ${formatBytes(report.models.diskFreeBytes)} free there`,
    `kernels    ${describe(kernels)}`,
    `speed      ${speed(report.calibration)}`,
    ...(training === undefined ? [] : [`training   ${trainingText(training)}`]),
  ]
  process.stdout.write(`${lines.join("\n")}\n`)
  if (!kernels.native)
    process.stdout.write(
      "hint       install a C++20 compiler and make (Debian: apt install g++ make), then npm rebuild @lamina/kernels\n",
    )
}

type Calibrated = Awaited<ReturnType<ReturnType<typeof createTunerTrainer>["calibrate"]>>

async function calibration(): Promise<Calibrated> {
  const trainer = createTunerTrainer()
  try {
    return await trainer.calibrate()
  } finally {
    await trainer.close()
  }
}

function speed({ tokensPerSecond, forwardTokensPerSecond = 0 }: Calibrated): string {
  const [training, forward] = [tokensPerSecond, forwardTokensPerSecond].map((value) => Math.round(value))
  return `${training} tokens/s in training, ${forward} in evaluation, on the small model all machines are measured with`
}

interface TrainingSpeed {
  readonly base: string
  readonly precision: HeldPrecision
  readonly kernels: string
  readonly tokensPerSecond: number
}

/** Trains for about a second and a half on all cores. Codes of modelPath, sharedBase and calibrate. */
async function measure(model: string, precision: HeldPrecision): Promise<TrainingSpeed> {
  const base = await sharedBase(await modelPath(model), precision)
  const pool = await openPool({ backend: "auto" })
  try {
    return { base: model, precision, ...(await calibrate(base, pool)) }
  } finally {
    await pool.close()
  }
}

function trainingText({ base, precision, tokensPerSecond }: TrainingSpeed): string {
  return `${Math.round(tokensPerSecond)} tokens/s of ${base} in ${precision}, every linear at rank 16`
}

/** Free bytes where a folder is or would be made. */
async function freeBytes(folder: string): Promise<number> {
  const disk = await statfs(folder).catch(() => undefined) // not made yet
  if (disk !== undefined) return disk.bavail * disk.bsize
  return dirname(folder) === folder ? 0 : freeBytes(dirname(folder))
}

function describe(kernels: ReturnType<typeof describeKernels>): string {
  if (!kernels.native) return `reference only (slow): ${kernels.problem}`
  const { f32, bf16, int8Dot } = kernels.peak
  const peaks = `peak f32 ${Math.round(f32)}, bf16 ${Math.round(bf16)} GFLOP/s, int8 ${Math.round(int8Dot)} GOP/s`
  return `native, ${kernels.isa}; ${peaks}; --compute bf16 runs ${kernels.bf16}, int8 runs ${kernels.int8}`
}
