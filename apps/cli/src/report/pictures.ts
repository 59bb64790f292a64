import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { Resvg } from "@resvg/resvg-js"

import { writeFailure } from "../output/files.js"
import { makeFolder } from "../output/folder.js"
import { PAPER } from "./colors.js"
import { fileName } from "./file-name.js"

/** A drawing of a report; the name is its file's (`fileName`). */
export interface Picture {
  readonly name: string
  readonly svg: string
}

/** Pixels of a PNG for each of its SVG. */
const SCALE = 2

const FONTS = ["Inter-Regular.ttf", "Inter-SemiBold.ttf"].map((file) =>
  fileURLToPath(new URL(`../../fonts/${file}`, import.meta.url)),
)

/**
 * Writes each picture as `<folder>/<name>.png` on white, 2 pixels for each of the SVG, with Lamina's own font whatever
 * the machine has. Returns the paths. FILE_UNWRITABLE, STORAGE_FULL.
 */
export async function writePictures(folder: string, pictures: readonly Picture[]): Promise<string[]> {
  await makeFolder(folder)
  const paths: string[] = []
  for (const { name, svg } of pictures) {
    const path = join(folder, `${fileName(name)}.png`)
    await writeFile(path, pngOf(svg)).catch((cause: unknown) => {
      throw writeFailure(path, cause)
    })
    paths.push(path)
  }
  return paths
}

function pngOf(svg: string): Uint8Array {
  const font = { fontFiles: FONTS, loadSystemFonts: false, defaultFontFamily: "Inter", sansSerifFamily: "Inter" }
  return new Resvg(svg, { background: PAPER, fitTo: { mode: "zoom", value: SCALE }, font }).render().asPng()
}
