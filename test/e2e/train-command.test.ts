import { mkdir, readFile, rm, writeFile } from "node:fs/promises"
import { join, relative } from "node:path"

import { readPeftAdapter } from "@lamina/tuner"

import { lamina, LaminaProcess, lastJson, root, temporaryFolder } from "./lamina-process.js"
import type { Finished } from "./lamina-process.js"

const model = join(root, "models/tiny")
const data = join(root, "examples/e2e/french.csv")
const heldOut = join(root, "examples/e2e/french-held-out.csv")

/** What of `--json` the tests look at. */
interface Summary {
  readonly steps: number
  readonly stoppedEarly: boolean
  readonly heldOut: { readonly before: number; readonly best: number; readonly bestStep: number }
}

const folder = temporaryFolder("train")
afterAll(() => rm(folder, { recursive: true }))

const settings = ["--data", data, "--context", "64", "--batch", "2", "--rank", "4", "--steps", "12", "--compute", "f32"]

test("training lowers the held-out loss and goes on after Ctrl-C to the same bytes", async () => {
  const given = (out: string): string[] => {
    const evaluation = ["--eval-data", heldOut, "--eval-every", "4"]
    return ["train", model, ...settings, ...evaluation, "--out", join(folder, out), "--json"]
  }
  const whole = await lamina(...given("whole"))
  expect(whole).toMatchObject({ status: 0, stderr: expect.stringContaining("step 12/12") })
  const summary = lastJson<Summary>(whole)
  const { before, best, bestStep } = summary.heldOut
  expect(best).toBeLessThan(before)
  expect(summary).toMatchObject({ steps: 12, stoppedEarly: false, dataExamples: 120 })
  expect(bestStep).toBeGreaterThan(0)

  const interrupted = new LaminaProcess(given("stopped"))
  await interrupted.until(/step 5\/12/)
  interrupted.kill("SIGINT")
  const stopped = await interrupted.finished
  expect(stopped.status).toBe(1)
  expect(stopped.stderr).toContain("the same command goes on where it was")
  const resumed = await lamina(...given("stopped"))
  expect(resumed.status).toBe(0)
  expect(resumed.stderr).not.toContain("step 1/12")
  expect(lastJson<Summary>(resumed).heldOut).toEqual(summary.heldOut)
  const bytes = (out: string): Promise<Buffer> => readFile(join(folder, out, "adapter/adapter_model.safetensors"))
  expect((await bytes("stopped")).equals(await bytes("whole"))).toBe(true)
  expect((await readPeftAdapter(join(folder, "whole/adapter"))).modules[0]).toMatchObject({ rank: 4, alpha: 8 })

  const adapter = ["--adapter", join(folder, "whole/adapter"), "--context", "64", "--json"]
  const score = await lamina("eval", model, "--data", heldOut, "--loss-on", "response", ...adapter)
  // the same factors, data, windows and f32 products: only the order of sums inside a pass may differ
  expect(lastJson<{ loss: number }>(score).loss).toBeCloseTo(best, 4)

  const other = await lamina("train", model, ...settings, "--seed", "1", "--out", join(folder, "whole"))
  expect(other.status).toBe(1)
  expect(other.stderr).toMatch(
    /settings.json: another training is there \[CHECKPOINT_MISMATCH\]\n {2}seed: 0 there, 1 asked for\n/,
  )
}, 120_000)

test("patience ends training when the held-out loss gets no better, and a second call has nothing to do", async () => {
  const given = ["train", model, ...settings, "--eval-split", "0.2", "--eval-every", "2", "--patience", "1"]
  // a step this large throws the model away at once: the scores after it are worse
  const rate = ["--learning-rate", "1", "--warmup-steps", "0"]
  const run = (): Promise<Finished> => lamina(...given, ...rate, "--out", join(folder, "patient"), "--json")
  const first = await run()
  expect(first.status).toBe(0)
  expect(lastJson(first)).toMatchObject({ stoppedEarly: true, heldOut: { bestStep: 0 } })
  const second = await run()
  expect(second.stderr).not.toContain("step")
  expect(lastJson(second)).toMatchObject({ stoppedEarly: true })
}, 60_000)

test("a command that fails leaves nothing in the way, and an older training as it was", async () => {
  const out = join(folder, "corrected")
  const few = ["--context", "64", "--steps", "1", "--out", out, "--compute", "f32"]
  const wrong = [
    [["train", join(root, "models/none"), "--data", data, "--rank", "4"], "FILE_UNREADABLE"],
    [["train", model, "--data", data, "--response-field", "answer"], "DATA_MALFORMED"],
    [["train", model, "--data", data, "--context", "100000"], "USAGE"],
    [["train", model, "--data", data, "--target-modules", "c_attn"], "RECIPE_INVALID"],
  ] as const
  for (const [command, code] of wrong) {
    const { stderr } = await lamina(command[0], command[1], ...few, ...command.slice(2))
    expect(stderr).toContain(`[${code}]`)
  }
  const right = await lamina("train", "models/tiny", "--data", data, ...few)
  expect([right.status, right.stderr]).toEqual([0, expect.stringContaining("step 1/1")])
  // the same model under another way to write its path
  const again = await lamina("train", "./models/../models/tiny", "--data", data, ...few)
  expect([again.status, again.stderr]).toEqual([0, expect.not.stringContaining("step 1/1")])
  const fresh = await lamina("train", model, "--data", join(folder, "none.csv"), ...few, "--fresh")
  expect([fresh.status, fresh.stderr]).toEqual([1, expect.stringContaining("[FILE_UNREADABLE]")])
  expect((await readPeftAdapter(join(out, "adapter"))).modules.length).toBeGreaterThan(0)
}, 60_000)

test("an adapter that cannot be written ends the training with an error that says so", async () => {
  const out = join(folder, "blocked")
  await mkdir(out)
  await writeFile(join(out, "adapter"), "a file where the folder would be")
  const run = await lamina("train", model, ...settings, "--eval-data", heldOut, "--eval-every", "4", "--out", out)
  expect([run.status, run.stderr]).toEqual([1, expect.stringMatching(/lamina: error: .*\[FILE_UNWRITABLE\]/)])
  expect(run.stderr).not.toMatch(/ at |step 12/)
}, 60_000)

test("a file of settings stands behind the command line, and its mistakes are named", async () => {
  const config = join(folder, "train.yaml")
  await writeFile(
    config,
    `model: ${relative(folder, model)}\ndata: ${relative(folder, data)}\nout: config\n` +
      `steps: 1\nrank: 8\ncontext: 64\ntargetModules: [q_proj, v_proj]\n`,
  )
  const run = await lamina("train", "--config", config, "--rank", "2")
  expect(run.status).toBe(0)
  const { modules } = await readPeftAdapter(join(folder, "config/adapter"))
  expect(new Set(modules.map(({ name, rank }) => `${name.split(".").at(-1)} ${rank}`))).toEqual(
    new Set(["q_proj 2", "v_proj 2"]),
  )
  for (const [line, message] of [
    ["rnk: 4", /expected the keys model, .*, got "rnk" \[USAGE\]/],
    ["rank: -4", /rank: expected a whole number from 1, got "-4" \[USAGE\]/],
    ["model: 3", /model: expected a path or org\/repo, got 3 \[USAGE\]/],
    ["rslora: 3", /rslora: expected true or false, got 3 \[USAGE\]/],
    ["schedule: round", /schedule: .*cosine.* \[USAGE\]/],
  ] as const) {
    await writeFile(config, line)
    const refused = await lamina("train", model, "--data", data, "--config", config)
    expect([refused.status, refused.stderr]).toEqual([2, expect.stringMatching(message)])
  }
}, 60_000)
