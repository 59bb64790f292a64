import { onDisk } from "./disk-errors.js"

const failing = (code: string) => async () => {
  throw Object.assign(new Error(code), { code })
}

test.each(["ENOSPC", "EDQUOT", "EFBIG", "SQLITE_FULL"])(
  "%s is STORAGE_FULL, and no failure of the disk",
  async (code) => {
    const failures: Error[] = []
    await expect(onDisk(failing(code), (error) => failures.push(error))).rejects.toMatchObject({ code: "STORAGE_FULL" })
    expect(failures).toEqual([])
  },
)

test.each(["EIO", "EROFS", "SQLITE_IOERR_FSYNC", "SQLITE_CORRUPT"])(
  "%s is handed over as a failure of the disk",
  async (code) => {
    const failures: Error[] = []
    await expect(onDisk(failing(code), (error) => failures.push(error))).rejects.toMatchObject({ code })
    expect(failures).toHaveLength(1)
  },
)

test("any other failure passes as it is", async () => {
  const failures: Error[] = []
  await expect(onDisk(failing("SQLITE_CONSTRAINT"), (error) => failures.push(error))).rejects.toMatchObject({
    code: "SQLITE_CONSTRAINT",
  })
  expect(failures).toEqual([])
})
