import { createHash, timingSafeEqual } from "node:crypto"

import { LaminaError } from "@lamina/protocol/errors"

import type { Sessions } from "../coordinator/sessions.js"

/** Who may do what over HTTP. Every method throws SESSION_REJECTED or SESSION_EXPIRED where the header does not do. */
export class Access {
  constructor(
    private readonly sessions: Sessions,
    private readonly secrets: { readonly adminToken: string; readonly joinToken?: string | undefined },
  ) {}

  /** The client behind a session's token. */
  client(authorization: string | undefined): string {
    return this.sessions.clientOf(bearerOf(authorization))
  }

  admin(authorization: string | undefined): void {
    if (!equal(bearerOf(authorization), this.secrets.adminToken))
      throw new LaminaError("SESSION_REJECTED", "expected the admin token, got another", {
        hint: "it is in admin.token in the data directory",
      })
  }

  /** A client with a session, or the admin. */
  member(authorization: string | undefined): void {
    if (!equal(bearerOf(authorization), this.secrets.adminToken)) this.client(authorization)
  }

  /**
   * Anybody where the federation is open to join; else somebody who holds the join token, a session or the admin
   * token.
   */
  reader(authorization: string | undefined): void {
    const { joinToken } = this.secrets
    if (joinToken === undefined || equal(bearerOf(authorization), joinToken)) return
    this.member(authorization)
  }
}

function bearerOf(authorization: string | undefined): string {
  const match = /^Bearer ([\x21-\x7e]{1,200})$/.exec(authorization ?? "")
  if (!match) throw new LaminaError("SESSION_REJECTED", "expected the header authorization: Bearer TOKEN, got none")
  return match[1]!
}

/** Takes the same time whatever differs. */
function equal(left: string, right: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest()
  return timingSafeEqual(digest(left), digest(right))
}
