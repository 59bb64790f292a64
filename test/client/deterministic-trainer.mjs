import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"

/**
 * A Trainer that computes an adapter from the plan alone: every value a function of seed, module and index. It walks
 * through the plan's steps and keeps the last one in its work folder, so a killed process can be seen to resume.
 * `stepMs`: how long a step takes; `onTrain` is told where each training began. Good for whatever is about rounds and
 * not about learning.
 *
 */
export function deterministicTrainer({ stepMs = 0, dataTokens = 1000, onTrain } = {}) {
  return {
    calibrate: async () => ({ kernels: "none", tokensPerSecond: 1000 }),
    close: async () => undefined,
    train: async ({ plan, round, workFolder, globalAdapter }, { signal, onProgress }) => {
      const checkpoint = join(workFolder, "step")
      const from = Number(await readFile(checkpoint, "utf8").catch(() => "0"))
      onTrain?.({ round, step: from })
      for (let step = from + 1; step <= plan.steps; step++) {
        signal.throwIfAborted()
        if (stepMs > 0) await sleep(stepMs, undefined, { signal })
        await writeFile(checkpoint, String(step))
        onProgress({ step, steps: plan.steps, loss: 1 / step, tokensPerSecond: 1000 })
      }
      const modules = plan.modules.map((module) => moduleOf(module, plan))
      modules.sort((left, right) => (left.name < right.name ? -1 : 1))
      const metrics = { steps: plan.steps, globalModules: globalAdapter?.modules.length ?? 0 }
      return { adapter: { modules }, dataTokens, dataExamples: 10, metrics }
    },
  }
}

function moduleOf({ name, outFeatures, inFeatures, rank, alpha }, { seed, scaling }) {
  const start = [...name].reduce((sum, letter) => (Math.imul(sum, 31) + letter.charCodeAt(0)) >>> 0, seed)
  return {
    name,
    outFeatures,
    inFeatures,
    rank,
    alpha,
    scaling,
    a: values(start, rank * inFeatures),
    b: values(start + 1, outFeatures * rank),
  }
}

/** xorshift32 from a non-zero start, scaled into ±0.05. */
function values(start, count) {
  let state = start | 1
  return Float32Array.from({ length: count }, () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state / 2 ** 31) * 0.05
  })
}
