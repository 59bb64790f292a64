import { diskFailure, onDisk } from "./disk-errors.js"

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

test.each(["EIO", "EROFS", "SQLITE_IOERR_FSYNC", "SQLITE_CORRUPT", "SQLITE_NOTADB"])(
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

test("a damaged database is unreadable and to be restored; a disk that does not keep its data is unwritable", () => {
  const failure = (code: string) => diskFailure("/data", Object.assign(new Error(`said ${code}`), { code }))
  for (const code of ["SQLITE_CORRUPT", "SQLITE_CORRUPT_VTAB", "SQLITE_NOTADB"])
    expect(failure(code)).toMatchObject({ code: "FILE_UNREADABLE", hint: expect.stringContaining("backup") as string })
  expect(failure("EIO")).toMatchObject({ code: "FILE_UNWRITABLE", message: expect.stringContaining("EIO") as string })
})
