import { spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const source = fileURLToPath(new URL("../..", import.meta.url))
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lamina-kernels-"))
  for (const part of ["native", "scripts", "binding.gyp", "package.json"])
    cpSync(join(source, part), join(folder, part), { recursive: true })
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const installWith = (env: NodeJS.ProcessEnv): { status: number | null; stderr: string } =>
  spawnSync(process.execPath, ["scripts/install.mjs"], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, ...env },
  })

test("installation without a working compiler succeeds with one line of warning", () => {
  const { status, stderr } = installWith({ CXX: "/no/such/compiler" })
  expect(status).toBe(0)
  expect(stderr.trim().split("\n")).toHaveLength(1)
  expect(stderr).toMatch(/^lamina: warning: native kernels were not built.*compiler/)
  expect(existsSync(join(folder, "build/Release/lamina_kernels.node"))).toBe(false)
})

test("installation without node-gyp's own needs succeeds with one line of warning", () => {
  const { status, stderr } = installWith({
    PATH: folder,
    npm_config_python: join(folder, "none"),
    PYTHON: join(folder, "none"),
  })
  expect(status).toBe(0)
  expect(stderr.trim().split("\n")).toHaveLength(1)
  expect(stderr).toMatch(/^lamina: warning: native kernels were not built/)
})
