// npm run check: generated code, types, lint, format, tidy.
import { build, ensureInstalled, runNode } from "./setup.mjs"

ensureInstalled()
runNode("packages/protocol/scripts/gen.mjs", ["--check"])
build()
runNode("node_modules/typescript/bin/tsc", ["-p", "tsconfig.test.json"])
runNode("node_modules/eslint/bin/eslint.js", ["."])
runNode("node_modules/prettier/bin/prettier.cjs", ["--check", "--log-level", "warn", "."])
runNode("node_modules/jest/bin/jest.js", ["test/tidy.test.ts"], {
  env: { ...process.env, NODE_OPTIONS: "--experimental-vm-modules --no-warnings" },
})
