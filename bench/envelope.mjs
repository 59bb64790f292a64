// npm run bench -- envelope [--mib 4] [--ms 1000] [--modules 210]
//
// What an update costs between training and the wire, on one core: encode, check, seal in memory, spool (with fsync),
// check of upload.open, leaves, open. One JSON line per figure: best of all repeats within the time, by the wall and by
// the process's own CPU time (a busy machine stretches the first alone), and MiB of plaintext per second of CPU.
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"

import { checkUpdate } from "@lamina/aggregation"
import {
  checkOpen,
  generateIdentity,
  generateRecipientKey,
  hash,
  leavesOf,
  openEnvelope,
  sealEnvelope,
  sealToBytes,
} from "@lamina/crypto"
import { decodeUpdate, encodeUpdate } from "@lamina/protocol"

const { values: options } = parseArgs({
  options: {
    mib: { type: "string", default: "4" },
    ms: { type: "string", default: "1000" },
    modules: { type: "string", default: "210" },
  },
})
const MIB = 1024 * 1024
const count = Number(options.modules)
const rank = 8
// A and B of one square module of this width and rank 8: count of them make the update
const width = Math.max(1, Math.round((Number(options.mib) * MIB) / (count * 2 * rank * 4)))

const factor = (length) => Float32Array.from({ length }, (_, i) => Math.sin(i) / 10)
const shape = (i) => ({
  name: `model.layers.${String(i).padStart(4, "0")}.q_proj`,
  outFeatures: width,
  inFeatures: width,
  rank,
  alpha: 16,
})
const modules = Array.from({ length: count }, (_, i) => ({
  ...shape(i),
  scaling: "lora",
  a: factor(rank * width),
  b: factor(width * rank),
}))
const update = { weight: 1_000, adapter: { modules }, metrics: [] }
const plan = { scaling: "lora", modules: modules.map((_, i) => shape(i)) }
const plaintext = encodeUpdate(update)

const identity = generateIdentity()
const recipient = generateRecipientKey()
const round = { federationId: new Uint8Array(32), roundHeaderHash: new Uint8Array(32).fill(1) }
const expected = { ...round, clientId: identity.clientId }
const input = { identity, ...round, recipientKey: recipient.publicKey, plaintext }
const sealed = sealToBytes(input)
const mib = Number((plaintext.byteLength / MIB).toFixed(2))
const folder = mkdtempSync(join(tmpdir(), "lamina-bench-"))

const steps = {
  encodeUpdate: () => encodeUpdate(update),
  hash: () => hash(plaintext),
  sealToBytes: () => sealToBytes(input),
  sealEnvelope: () => sealEnvelope(input, join(folder, "round")),
  checkOpen: () => checkOpen({ ...sealed, envelopeBytes: sealed.bytes }, identity.publicKey, expected),
  leavesOf: () => leavesOf(sealed.envelope),
  openEnvelope: () => openEnvelope(sealed.envelope, { recipientSecretKey: recipient.secretKey, expected }),
  decodeUpdate: () => decodeUpdate(plaintext),
  checkUpdate: () => checkUpdate(update, plan),
}
try {
  for (const [step, work] of Object.entries(steps)) {
    let best = Infinity
    let bestCpu = Infinity
    let repeats = 0
    for (const end = performance.now() + Number(options.ms); performance.now() < end; repeats++) {
      const start = performance.now()
      const before = process.cpuUsage()
      await work()
      const { user, system } = process.cpuUsage(before)
      bestCpu = Math.min(bestCpu, (user + system) / 1000)
      best = Math.min(best, performance.now() - start)
    }
    const figures = {
      ms: Number(best.toFixed(3)),
      cpuMs: Number(bestCpu.toFixed(3)),
      mibPerCpuSecond: Math.round((plaintext.byteLength / MIB / bestCpu) * 1000),
      repeats,
    }
    process.stdout.write(`${JSON.stringify({ bench: "envelope", step, mib, ...figures })}\n`)
  }
} finally {
  rmSync(folder, { recursive: true })
}
