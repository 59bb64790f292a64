import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { TransferMeter } from "./transfer-meter.js"

const MB = 1_000_000
let ms = 0
const now = (): number => ms

test("nothing is known before the first transfer, nor from small or failed ones", () => {
  const meter = new TransferMeter(now)
  for (const bytes of [0, 1_000]) {
    const end = meter.begin("upload")
    ms += 100
    end(bytes)
  }
  expect(meter.rates()).toEqual({ uploadBytesPerSecond: 0, downloadBytesPerSecond: 0 })
})

test("transfers side by side share the time in which any of them was under way", () => {
  const meter = new TransferMeter(now)
  const first = meter.begin("upload")
  ms += 100
  const second = meter.begin("upload")
  ms += 100
  first(MB)
  ms += 200
  second(MB)
  // 2 MB in 400 ms; the pause behind them does not count
  ms += 5_000
  expect(meter.rates()).toEqual({ uploadBytesPerSecond: 5 * MB, downloadBytesPerSecond: 0 })
})

test("of what was before, half counts", () => {
  const meter = new TransferMeter(now)
  for (const [bytes, tookMs] of [
    [4 * MB, 1_000],
    [4 * MB, 2_000],
  ] as const) {
    const end = meter.begin("download")
    ms += tookMs
    end(bytes)
  }
  // (2 MB + 4 MB) / (0.5 s + 2 s)
  expect(meter.rates().downloadBytesPerSecond).toBe(2.4 * MB)
})

test("figures outlive the process; a file that holds none counts as none", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lamina-meter-"))
  const path = join(folder, "transfers.json")
  try {
    const meter = await TransferMeter.open(path, now)
    await meter.save(path)
    expect(await readdir(folder)).toEqual([]) // nothing measured
    const end = meter.begin("download")
    ms += 1_000
    end(MB)
    await meter.save(path)
    expect((await TransferMeter.open(path, now)).rates()).toEqual(meter.rates())
    expect(meter.rates().downloadBytesPerSecond).toBe(MB)
    for (const text of ["", "{}", `{"upload":{"bytes":-1,"ms":1},"download":{"bytes":1,"ms":1}}`]) {
      await writeFile(path, text)
      expect((await TransferMeter.open(path, now)).rates().downloadBytesPerSecond).toBe(0)
    }
  } finally {
    await rm(folder, { recursive: true })
  }
})
