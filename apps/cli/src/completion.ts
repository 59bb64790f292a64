import type { Command } from "commander"

import { LaminaError } from "@lamina/protocol/errors"

/** A completion script for the commands and options as they are now. USAGE for a shell we do not know. */
export function completionScript(shell: string, program: Command): string {
  const commands = program.commands.map((command) => ({
    name: command.name(),
    description: command.description(),
    options: command.options.map((option) => option.long ?? "").filter((long) => long !== ""),
  }))
  switch (shell) {
    case "bash":
      return bash(commands)
    case "zsh":
      return `autoload -U +X bashcompinit && bashcompinit\n${bash(commands)}`
    case "fish":
      return fish(commands)
    default:
      throw new LaminaError("USAGE", `expected bash, zsh or fish, got "${shell}"`)
  }
}

interface Entry {
  readonly name: string
  readonly description: string
  readonly options: readonly string[]
}

function bash(commands: readonly Entry[]): string {
  const cases = commands.map(({ name, options }) => `    ${name}) words="${options.join(" ")}" ;;`)
  return `_lamina() {
  local word="\${COMP_WORDS[COMP_CWORD]}" words
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
    *) words="${commands.map(({ name }) => name).join(" ")}" ;;
  esac
  [ "$COMP_CWORD" -eq 1 ] && words="${commands.map(({ name }) => name).join(" ")}"
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  [ "\${#COMPREPLY[@]}" -gt 0 ] || COMPREPLY=($(compgen -f -- "$word"))
}
complete -o filenames -F _lamina lamina
`
}

function fish(commands: readonly Entry[]): string {
  const lines = commands.flatMap(({ name, description, options }) => [
    `complete -c lamina -n __fish_use_subcommand -a ${name} -d '${description.replaceAll("'", "\\'")}'`,
    ...options.map((option) => `complete -c lamina -n '__fish_seen_subcommand_from ${name}' -l ${option.slice(2)}`),
  ])
  return `${lines.join("\n")}\n`
}
