// npm run build: everything that runs from dist. Installs first where that was never done.
import { build, ensureInstalled } from "./setup.mjs"

ensureInstalled()
build()
