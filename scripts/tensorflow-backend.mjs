// npm run tensorflow-backend: backend `tensorflow` for this checkout's tests, where tfjs-node's own download cannot be
// reached. Installs the package without it (not saved), and builds its binding against libtensorflow from the wheel of
// PyPI's tensorflow-cpu. `--wheel FILE` uses a wheel that is on this disk.
import { spawnSync } from "node:child_process"
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"

import { findNodeGyp, headerArguments } from "../packages/kernels/scripts/native-builder.mjs"
import { root } from "./setup.mjs"

const VERSION = "4.22.0"
const { values: options } = parseArgs({ options: { wheel: { type: "string" }, python: { type: "string" } } })
const python = options.python ?? "python3"

function run(command, args, cwd = root) {
  const { status, error } = spawnSync(command, args, { cwd, stdio: "inherit" })
  if (status === 0) return
  process.stderr.write(`tensorflow-backend: ${command} ${args[0]} ended with ${status ?? error?.message}\n`)
  process.exit(1)
}

const work = mkdtempSync(join(tmpdir(), "lamina-tensorflow-"))
try {
  const installing = ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"]
  run("npm", [...installing, `@tensorflow/tfjs-node@${VERSION}`])
  if (!options.wheel) run(python, ["-m", "pip", "download", "--no-deps", "-d", work, "tensorflow-cpu"])
  const wheel = options.wheel
    ? resolve(options.wheel)
    : join(
        work,
        readdirSync(work).find((f) => f.endsWith(".whl")),
      )
  const wanted = "[n for n in z.namelist() if n.startswith('tensorflow/include/') or '/libtensorflow_' in n]"
  run(python, [
    "-c",
    `import sys,zipfile; z=zipfile.ZipFile(sys.argv[1]); z.extractall(sys.argv[2], ${wanted})`,
    wheel,
    work,
  ])

  const folder = join(root, "node_modules/@tensorflow/tfjs-node")
  const library = join(folder, "deps/lib")
  rmSync(join(folder, "deps"), { recursive: true, force: true })
  mkdirSync(library, { recursive: true })
  cpSync(join(work, "tensorflow/include"), join(folder, "deps/include"), { recursive: true })
  for (const [file, name] of [
    ["libtensorflow_cc.so.2", "libtensorflow.so"],
    ["libtensorflow_framework.so.2", "libtensorflow_framework.so"],
  ]) {
    copyFileSync(join(work, "tensorflow", file), join(library, file))
    symlinkSync(file, join(library, name))
  }

  const nodeGyp = findNodeGyp()
  if (!nodeGyp) throw new Error("node-gyp was not found; it comes with npm")
  const names = ["--napi_build_version=8", "--module_name=tfjs_binding", "--module_path=./lib/napi-v8"]
  run(process.execPath, [nodeGyp, "rebuild", ...headerArguments(), ...names], folder)
  mkdirSync(join(folder, "lib/napi-v8"), { recursive: true })
  copyFileSync(join(folder, "build/Release/tfjs_binding.node"), join(folder, "lib/napi-v8/tfjs_binding.node"))
  const probe = "require('@tensorflow/tfjs-node').ones([2]).print()"
  run(process.execPath, ["-e", probe])
  process.stdout.write("tensorflow-backend: built; npm run test:unit -- packages/kernels/src/backends runs its suite\n")
} finally {
  rmSync(work, { recursive: true })
}
