import { homedir } from "node:os"
import { join } from "node:path"

import { defaultFolders } from "./config.js"

test("LAMINA_HOME holds everything, the XDG folders are used where they are set, else ~/.lamina", () => {
  const dot = join(homedir(), ".lamina")
  expect(defaultFolders({})).toEqual({ data: dot, cache: join(dot, "cache") })
  expect(defaultFolders({ XDG_DATA_HOME: "/d", XDG_CACHE_HOME: "/c" })).toEqual({
    data: "/d/lamina",
    cache: "/c/lamina",
  })
  expect(defaultFolders({ LAMINA_HOME: "/l", XDG_DATA_HOME: "/d" })).toEqual({ data: "/l", cache: "/l/cache" })
})
