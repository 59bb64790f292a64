import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import type { CountedUpdate } from "./jobs.js"
import { forget, forgetKeys, keep, openUpdate, takeUpdate } from "./open-update.js"
import { sealedUpdate } from "./testing/sealed-update.js"

let folder: string
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "lamina-open-"))))
afterEach(() => rmSync(folder, { recursive: true }))

/** What another thread, or this one after a restart, would need; whoever opens with it has the key already. */
const noSecret = ({ secret }: CountedUpdate) => ({ ...secret, recipientSecret: new Uint8Array(32).fill(9) })

test("of updates that do not stay open together the keys stay, once, and until the round is over", async () => {
  // 20 MB each: three stay open
  const updates = [0, 1, 2, 3, 4, 5].map((i) => sealedUpdate(folder, i, 1_000_000, 5))
  for (const update of updates) keep(update, await openUpdate(update, update.secret))
  for (const [i, update] of updates.slice(0, 5).entries()) {
    const opened = await takeUpdate(update, noSecret(update))
    expect(opened.content.adapter.modules[0]?.a[4_999_999]).toBe(i)
    forget(opened)
    await expect(takeUpdate(update, noSecret(update))).rejects.toMatchObject({ code: "ENVELOPE_REJECTED" })
  }
  const large = sealedUpdate(folder, 6, 1_000_000, 20) // more than may stay open at all
  keep(large, await openUpdate(large, large.secret))
  forgetKeys()
  await expect(takeUpdate(large, noSecret(large))).rejects.toMatchObject({ code: "ENVELOPE_REJECTED" })
  forget(await takeUpdate(large, large.secret))
})
