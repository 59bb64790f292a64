import { z } from "zod"

import { LaminaError } from "@lamina/protocol/errors"

const levels = ["silent", "fatal", "error", "warn", "info", "debug", "trace"] as const

const TOKEN_LENGTH = "expected 8 to 200 characters, got another length"

const Options = z.strictObject({
  /** Folder of everything that must survive: database, keys, adapters, uploads. Made when missing. */
  dataDir: z.string().min(1),
  host: z.string().min(1).default("127.0.0.1"),
  /** 0: any free port. */
  port: z.int().min(0).max(65_535).default(7_700),
  logLevel: z.enum(levels).default("info"),
  /** When set, a client must present it to open a session. 8 to 200 characters. */
  joinToken: z.string().min(8, TOKEN_LENGTH).max(200, TOKEN_LENGTH).optional(),
  /**
   * How often deadlines are looked at. They are absolute: a late look makes nothing earlier or later than one
   * interval.
   */
  tickMs: z.int().min(5).max(60_000).default(250),
  /** How long a later round waits for its whole cohort before it opens with a quorum. */
  patienceMs: z.int().min(0).max(86_400_000).default(60_000),
  /** A socket that has no session by then is closed. */
  sessionMs: z.int().min(10).max(600_000).default(30_000),
  software: z.string().max(100).default("lamina/0.1.0"),
})

/** Options of a coordinator as a caller gives them; unset ones come from the environment, then from the defaults. */
export type CoordinatorOptions = z.input<typeof Options>
export type Config = z.output<typeof Options>

/**
 * Options, then LAMINA_DATA_DIR, LAMINA_HOST, LAMINA_PORT, LAMINA_LOG_LEVEL, LAMINA_JOIN_TOKEN, then defaults. The
 * one place of the server that reads the environment. Throws USAGE with one line per wrong value.
 */
export function readConfig(options: Partial<CoordinatorOptions>, env: NodeJS.ProcessEnv = process.env): Config {
  const fromEnv = {
    dataDir: env.LAMINA_DATA_DIR,
    host: env.LAMINA_HOST,
    port: env.LAMINA_PORT === undefined ? undefined : Number(env.LAMINA_PORT),
    logLevel: env.LAMINA_LOG_LEVEL,
    joinToken: env.LAMINA_JOIN_TOKEN,
  }
  const result = Options.safeParse({ ...set(fromEnv), ...set(options) })
  if (result.success) return result.data
  const lines = result.error.issues.map((issue) => `${issue.path.join(".") || "options"}: ${issue.message}`)
  throw new LaminaError("USAGE", lines.join("\n"), { hint: "docs/server.md lists every option" })
}

function set(values: object): object {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
}
