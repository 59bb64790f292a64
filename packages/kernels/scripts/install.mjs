// npm install: builds the addon. It never fails the installation; `lamina doctor` says what is missing.
import { buildNative, isUpToDate, warn } from "./native-builder.mjs"

if (!isUpToDate()) {
  const problem = buildNative()
  if (problem) warn(problem)
}
