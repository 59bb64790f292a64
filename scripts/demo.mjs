// npm run demo: set-up, build, then `lamina demo` (the federation of apps/cli/src/demo). Options: --json, --out DIR.
import { build, ensureInstalled, runNode } from "./setup.mjs"

ensureInstalled({ quiet: true })
build({ quiet: true })
runNode("apps/cli/bin/lamina.js", ["demo", ...process.argv.slice(2)])
