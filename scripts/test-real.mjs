// npm run test:real: fetches the real model (once), then the tests about it. Arguments go to jest.
import { build, ensureInstalled, runNode } from "./setup.mjs"

ensureInstalled()
build()
runNode("scripts/fetch-smollm2.mjs", [])
const env = { ...process.env, NODE_OPTIONS: "--experimental-vm-modules --no-warnings" }
runNode("node_modules/jest/bin/jest.js", ["test/real", ...process.argv.slice(2)], { env })
