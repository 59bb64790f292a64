import { writeFileSync } from "node:fs"
import { join } from "node:path"

import { generateIdentity, generateRecipientKey, sealToBytes, toHex } from "@lamina/crypto"
import { encodeUpdate } from "@lamina/protocol"
import type { AdapterModule } from "@lamina/protocol"

import type { CountedUpdate } from "../jobs.js"

const identity = generateIdentity()
const recipient = generateRecipientKey()
const [federationId, headerHash] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]

/** Number i of a round, on disk: one module whose A (rank, features) is i everywhere, but for what `change` does. */
export function sealedUpdate(
  folder: string,
  i: number,
  ...[features, rank = 1, change]: [features: number, rank?: number, change?: (module: AdapterModule) => void]
): CountedUpdate {
  const [a, b] = [new Float32Array(rank * features).fill(i), new Float32Array(4 * rank).fill(1)]
  const module = { name: "m", outFeatures: 4, inFeatures: features, rank, alpha: 1, scaling: "lora" as const, a, b }
  change?.(module)
  const sealed = sealToBytes({
    ...{ identity, federationId, roundHeaderHash: headerHash, recipientKey: recipient.publicKey },
    plaintext: encodeUpdate({ weight: 1, adapter: { modules: [module] }, metrics: [], scores: [] }),
  })
  const path = join(folder, `${i}.part`)
  writeFileSync(path, sealed.envelope)
  return {
    ...{ source: { path }, header: sealed.header, envelopeBytes: sealed.bytes, envelopeRoot: sealed.root },
    ...{ clientId: toHex(identity.clientId), clientName: `c${i}`, plan: new Uint8Array(0), weight: 1 },
    secret: { federationId, headerHash, recipientSecret: recipient.secretKey },
  }
}
