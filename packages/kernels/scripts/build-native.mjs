// npm run build: the addon, unless it is newer than its sources. Without a compiler: one warning, and the build goes
// on.
import { buildNative, isUpToDate, warn } from "./native-builder.mjs"

if (!isUpToDate()) {
  const problem = buildNative()
  if (problem) warn(problem)
}
