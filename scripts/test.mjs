// npm test: set-up, build, then every test. Arguments go to jest (npm test -- packages/kernels).
import { build, ensureInstalled, runNode } from "./setup.mjs"

ensureInstalled()
build()
runNode("node_modules/jest/bin/jest.js", process.argv.slice(2), {
  env: { ...process.env, NODE_OPTIONS: "--experimental-vm-modules --no-warnings" },
})
