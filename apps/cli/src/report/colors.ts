/** Lines and areas, in this order; they stand on white and on black. */
export const PALETTE = [
  ...["#3b6ea8", "#d1793b", "#4c9a6a", "#b0474f", "#7a68a6"],
  ...["#8c6d46", "#c77ba5", "#6f6f6f", "#a8a23b", "#2f9aa0"],
]

/** Colours of pictures that change where the reader's screen is dark; the page's style knows them. */
export const INK = "#222222"
export const SOFT_INK = "#5a6068"
export const GRID = "#e2e5e9"
export const PAPER = "#ffffff"

/** Small to large shares of a heat map. */
export const HEAT = ["#eef3f9", "#9dbbdd", "#3b6ea8", "#16365c"]

/** CSS that makes a page with pictures dark where the reader's screen is. */
export const DARK_STYLE = `@media (prefers-color-scheme: dark) {
body { color: #dde1e6; background: #16191d } th, td { border-color: #343a41 } a { color: #7fb2ee }
${darkRules({ [INK]: "#dde1e6", [SOFT_INK]: "#9aa3ad", [GRID]: "#2b3036", [PAPER]: "#16191d" })}
}`

function darkRules(colors: Readonly<Record<string, string>>): string {
  return Object.entries(colors)
    .map(([light, dark]) => `svg [fill="${light}"] { fill: ${dark} } svg [stroke="${light}"] { stroke: ${dark} }`)
    .join("\n")
}
