import { KeptRows } from "./kept-rows.js"

function counting(bytesMax: number) {
  const asked: string[] = []
  const rows = new KeptRows<string>(bytesMax, (row) => row.length)
  const get = (key: string, row: string | undefined) =>
    rows.get(key, async () => {
      asked.push(key)
      return row
    })
  return { get, asked }
}

test("a row is read once; one that is not there, every time", async () => {
  const { get, asked } = counting(100)
  expect(await get("a", "row")).toBe("row")
  expect(await get("a", "another")).toBe("row")
  expect(await get("b", undefined)).toBeUndefined()
  expect(await get("b", "later")).toBe("later")
  expect(asked).toEqual(["a", "b", "b"])
})

test("beyond the limit the row goes that was longest not asked for, and a row above it at once", async () => {
  const { get, asked } = counting(10)
  await get("a", "xxxx")
  await get("b", "xxxx")
  await get("a", "")
  await get("c", "xxxx") // b goes
  await get("a", "")
  await get("b", "xxxx") // c goes
  expect(asked).toEqual(["a", "b", "c", "b"])
  expect(await get("large", "x".repeat(11))).toHaveLength(11)
  await get("large", "x".repeat(11))
  expect(asked.slice(4)).toEqual(["large", "large"])
})

test("two that ask for the same row at a time get it, and it counts once", async () => {
  const { get, asked } = counting(8)
  expect(await Promise.all([get("a", "xxxx"), get("a", "xxxx")])).toEqual(["xxxx", "xxxx"])
  await get("b", "xxxx")
  await get("a", "")
  expect(asked).toEqual(["a", "a", "b"])
})
