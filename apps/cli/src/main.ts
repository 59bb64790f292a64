import { buildProgram } from "./program.js"
import { exitCodeOf, printError } from "./output/failure.js"

// whoever reads our output has seen enough, as with `| head`
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error
  process.exit()
})

/** The `lamina` command. Exit status: 0 done, 1 failed, 2 used wrongly. */
try {
  await buildProgram().parseAsync(process.argv)
} catch (error) {
  printError(error, process.stderr, process.argv.slice(2))
  process.exitCode = exitCodeOf(error)
}
