import { Work } from "./work.js"

const schedule = {
  ...({ startMs: 0, downloadedMs: 10, trainedMs: 80, endMs: 100, fate: "arrives", crashed: false } as const),
  ...{ bytesDown: 0, bytesUp: 0, memoryBytes: 0 },
}
const train = () => Promise.reject(new Error("nothing is trained here"))
const workUntil = (hardDeadlineMs: number) => new Work({ client: "a", round: 1, schedule, hardDeadlineMs, train })

test("a device is through with a round when its update is in or at the hard deadline, which is too late for it", () => {
  const dueAndOverdue = [101, 100, 60].map(workUntil).map(({ dueMs, overdue }) => [dueMs, overdue])
  expect(dueAndOverdue).toEqual([
    [100, false],
    [100, true],
    [60, true],
  ])
})
