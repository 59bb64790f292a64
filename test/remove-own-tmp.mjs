export { removeOwnTmp as default } from "./own-tmp.mjs"
