import { Gathered } from "./gathered.js"

test("the first is taken up at once, those that come meanwhile are answered together", async () => {
  const batches: number[][] = []
  const gathered = new Gathered<number, number>(async (questions) => {
    batches.push([...questions])
    await Promise.resolve()
    return questions.map((question) => question * 10)
  })
  expect(await Promise.all([1, 2, 3].map((question) => gathered.ask(question)))).toEqual([10, 20, 30])
  expect(batches).toEqual([[1], [2, 3]])
})

test("a batch that fails fails for all who were in it, and the next one is answered", async () => {
  let failing = true
  const gathered = new Gathered<number, number>(async (questions) => {
    if (failing) throw new Error("disk")
    return questions
  })
  const asked = [1, 2].map((question) => gathered.ask(question))
  await expect(asked[0]).rejects.toThrow("disk")
  await expect(asked[1]).rejects.toThrow("disk")
  failing = false
  expect(await gathered.ask(3)).toBe(3)
})
