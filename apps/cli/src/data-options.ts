import type { RecipeData } from "@lamina/protocol/recipe"
import type { DataSource } from "@lamina/tuner"
import { dataSourceOf } from "@lamina/tuner/data-source"
import type { DataSourceOptions } from "@lamina/tuner/data-source"

/** How rows of data files are to be read, as the command line and recipes say it. */
export interface DataOptions {
  readonly promptField?: string
  readonly responseField?: string
  readonly textField?: string
  readonly messagesField?: string
  readonly chatTemplate?: boolean
  readonly separator?: string
}

/** Files of the command line, all alike. USAGE, FILE_UNREADABLE. */
export function dataOfFiles(paths: readonly string[], options: DataOptions = {}): DataSource {
  return dataSourceOf(paths, sourceOptions(options))
}

/** The data of a recipe's client, its path absolute. USAGE, FILE_UNREADABLE. */
export function dataOfRecipe(data: RecipeData): DataSource {
  return typeof data === "string" ? dataSourceOf(data) : dataSourceOf(data.path, sourceOptions(data))
}

function sourceOptions(options: DataOptions): DataSourceOptions {
  const { promptField: prompt, responseField: response, textField: text, messagesField: messages } = options
  const named = Object.entries({ prompt, response, text, messages }).filter(([, name]) => name !== undefined)
  const { chatTemplate, separator } = options
  return {
    ...(named.length === 0 ? {} : { fields: Object.fromEntries(named) }),
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
    // a shell passes \n as two characters
    ...(separator === undefined ? {} : { separator: separator.replaceAll("\\n", "\n") }),
  }
}
