import { writeFileSync } from "node:fs"
import { join } from "node:path"

import { generateIdentity, generateRecipientKey, sealToBytes, toHex } from "@lamina/crypto"
import { encodeAdapter } from "@lamina/protocol"

import type { CountedUpdate } from "../jobs.js"

const identity = generateIdentity()
const recipient = generateRecipientKey()
const [federationId, headerHash] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]

/** Number i of a round, on disk: one module whose A (rank, features) is i everywhere. */
export function sealedUpdate(folder: string, i: number, features: number, rank = 1): CountedUpdate {
  const [a, b] = [new Float32Array(rank * features).fill(i), new Float32Array(4 * rank).fill(1)]
  const module = { name: "m", outFeatures: 4, inFeatures: features, rank, alpha: 1, scaling: "lora" as const, a, b }
  const sealed = sealToBytes({
    ...{ identity, federationId, roundHeaderHash: headerHash, recipientKey: recipient.publicKey },
    plaintext: encodeAdapter({ modules: [module] }),
  })
  const path = join(folder, `${i}.part`)
  writeFileSync(path, sealed.envelope)
  return {
    ...{ source: { path }, header: sealed.header, envelopeBytes: sealed.bytes, envelopeRoot: sealed.root },
    ...{ clientId: toHex(identity.clientId), clientName: `c${i}`, plan: new Uint8Array(0), weight: 1 },
    secret: { federationId, headerHash, recipientSecret: recipient.secretKey },
  }
}
