import { decodeAdapter } from "@lamina/protocol"

import { closeAll, coordinatorOn, joinAll, nextEvent, runRequest } from "./federation.js"

afterEach(closeAll)

/** More than go to their places together, and fewer ranks than the smaller side of a module. */
const CLIENTS = 20

/** As a stack of wide modules they go to their places as they are opened, some at a time. */
const WIDE = [
  { name: "layers.0.q_proj", outFeatures: 50, inFeatures: 300 },
  { name: "layers.1.v_proj", outFeatures: 44, inFeatures: 257 },
]

test("every update of a cohort is in the stack with its share, whichever group it was added with", async () => {
  const coordinator = await coordinatorOn()
  const cohort = { clients: CLIENTS, quorum: 1, softDeadlineMs: 60_000, hardDeadlineMs: 90_000 }
  const { id: run } = await coordinator.createRun({ ...runRequest({ cohort }), modules: WIDE })
  const clients = await joinAll(coordinator, ...Array.from({ length: CLIENTS }, (_, i) => `c${i}`))
  const published = nextEvent(coordinator, "roundPublished")
  const weightOf = (i: number): number => 1 + (i % 5)
  await Promise.all(
    clients.map(async (client, i) => {
      const task = await client.task(run)
      await client.submit(task, client.seal(task, { fill: i + 1, weight: weightOf(i) }))
    }),
  )
  const { adapterHash, report } = await published
  expect(report).toMatchObject({ updates: CLIENTS, stackedRank: 2 * CLIENTS })
  expect(report.errors).toHaveLength(2)
  for (const { relativeError } of report.errors) expect(relativeError).toBeLessThan(1e-7)
  const total = clients.reduce((sum, _, i) => sum + weightOf(i), 0)
  const { modules } = decodeAdapter(await coordinator.adapter(adapterHash))
  for (const [m, { a, b, rank, alpha }] of modules.entries()) {
    const { inFeatures, outFeatures } = WIDE[m]!
    expect([rank, alpha]).toEqual([2 * CLIENTS, 2 * CLIENTS])
    // B of client i is 2 (i + 1) everywhere: which client a column is of, in whatever order they were stacked
    const owners = Array.from({ length: rank }, (_, k) => b[k]! / 2 - 1)
    expect([...owners].sort((left, right) => left - right)).toEqual(
      Array.from({ length: rank }, (_, k) => Math.floor(k / 2)),
    )
    for (const [k, owner] of owners.entries()) {
      const column = Array.from({ length: outFeatures }, (_, i) => b[i * rank + k])
      expect(new Set(column)).toEqual(new Set([2 * (owner + 1)]))
      const scaled = Math.fround((((weightOf(owner) / total) * 4) / 2) * (owner + 1))
      expect(new Set(a.subarray(k * inFeatures, (k + 1) * inFeatures))).toEqual(new Set([scaled]))
    }
  }
})
