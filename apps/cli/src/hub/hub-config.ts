import { readFile } from "node:fs/promises"
import { homedir } from "node:os"
import { join } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

/** Which hub is asked, as whom. The variables are huggingface_hub's. */
export interface HubConfig {
  /** `HF_ENDPOINT`, without a slash at its end. */
  readonly endpoint: string
  /** `HF_TOKEN`, else what `huggingface-cli login` has left. Sent to the endpoint only. */
  readonly token: string | undefined
  /** `HF_HUB_OFFLINE`: nothing is fetched. */
  readonly offline: boolean
}

/** USAGE for an endpoint that is no http(s) address. */
export async function hubConfig(env: NodeJS.ProcessEnv = process.env): Promise<HubConfig> {
  const endpoint = (env.HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, "")
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol))
    throw new LaminaError("USAGE", `HF_ENDPOINT: expected an http or https address, got ${JSON.stringify(endpoint)}`)
  const offline = ["1", "true", "yes", "on"].includes((env.HF_HUB_OFFLINE ?? "").toLowerCase())
  return { endpoint, token: await hubToken(env), offline }
}

async function hubToken(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  if (env.HF_TOKEN?.trim()) return env.HF_TOKEN.trim()
  const home = env.HF_HOME || join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface")
  const text = await readFile(env.HF_TOKEN_PATH || join(home, "token"), "utf8").catch(() => "") // most have none
  return text.trim() || undefined
}
