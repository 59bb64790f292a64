// npm run gen: generated code (protobuf). `--check` changes nothing and fails when the committed code is out of date.
import { ensureInstalled, runNode } from "./setup.mjs"

ensureInstalled()
runNode("packages/protocol/scripts/gen.mjs", process.argv.slice(2))
