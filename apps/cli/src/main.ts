import { buildProgram } from "./program.js"
import { exitCodeOf, printError } from "./output/failure.js"

/** The `lamina` command. Exit status: 0 done, 1 failed, 2 used wrongly. */
try {
  await buildProgram().parseAsync(process.argv)
} catch (error) {
  printError(error, process.stderr)
  process.exitCode = exitCodeOf(error)
}
