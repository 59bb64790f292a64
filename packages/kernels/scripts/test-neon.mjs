// npm run test:neon: compiles the kernels for arm64 with Debian's cross compiler and runs their self-test
// (native/selftest.cpp) under qemu. Where the tools are missing it says so and ends well.
import { spawn, spawnSync } from "node:child_process"
import { mkdirSync, readdirSync } from "node:fs"
import { availableParallelism } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"

const COMPILER = "aarch64-linux-gnu-g++"
const EMULATOR = "qemu-aarch64"
/** Where Debian puts the cross compiler's C library. */
const LIBRARIES = "/usr/aarch64-linux-gnu"
const native = fileURLToPath(new URL("../native", import.meta.url))
const out = fileURLToPath(new URL("../build/neon", import.meta.url))

for (const tool of [COMPILER, EMULATOR])
  if (spawnSync(tool, ["--version"]).status !== 0) {
    console.log(`skipped: ${tool} is not here (Debian: apt-get install g++-aarch64-linux-gnu qemu-user)`)
    process.exit(0)
  }

/** The face towards Node, addon*.cpp and what only it calls, stays out. */
const sources = [
  ...readdirSync(native).filter((name) => name.endsWith(".cpp") && !/^(addon.*|map_file)\.cpp$/.test(name)),
  ...["simd/isa_portable.cpp", "simd/isa_neon.cpp"],
]
mkdirSync(out, { recursive: true })
const flags = ["-O3", "-std=c++20", "-Wall", "-Wextra", "-Wno-psabi", "-pthread", `-I${native}`]
const objects = sources.map((name) => join(out, `${basename(name, ".cpp")}.o`))

/** Compiles sources one after another; several of these run beside each other. */
async function compile(queue) {
  for (let next = queue.shift(); next; next = queue.shift()) {
    const [source, object] = next
    const child = spawn(COMPILER, [...flags, "-c", join(native, source), "-o", object], { stdio: "inherit" })
    const status = await new Promise((resolve) => child.once("close", resolve))
    if (status !== 0) process.exit(1)
  }
}

const queue = sources.map((source, i) => [source, objects[i]])
await Promise.all(Array.from({ length: availableParallelism() }, () => compile(queue)))
const program = join(out, "selftest")
const linked = spawnSync(COMPILER, ["-pthread", "-o", program, ...objects, "-ldl"], { stdio: "inherit" })
if (linked.status !== 0) process.exit(1)
process.exit(spawnSync(EMULATOR, ["-L", LIBRARIES, program], { stdio: "inherit" }).status ?? 1)
