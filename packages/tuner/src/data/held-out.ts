import { nameHash, threefry } from "../model/counter-random.js"

/** One side of a source that is divided in two: the rows a seed draws are held out, the others train. */
export interface DataPart {
  /** Share of the rows that is held out, above 0 and below 1. */
  readonly share: number
  /** uint32; the same seed divides alike, whatever else is in the source. */
  readonly seed: number
  /** Which side this is. */
  readonly heldOut: boolean
}

/** Whether row `index` (from 0, over all files) is held out; a pure function. */
export function isHeldOut(index: number, { share, seed }: DataPart): boolean {
  return threefry([seed, nameHash("held out")], [index, 0])[0] < share * 2 ** 32
}
