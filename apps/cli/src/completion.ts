import type { Command } from "commander"

import { LaminaError } from "@lamina/protocol/errors"

/** A completion script for the commands and options as they are now. USAGE for a shell we do not know. */
export function completionScript(shell: string, program: Command): string {
  switch (shell) {
    case "bash":
      return bash(program)
    case "zsh":
      return `autoload -U +X bashcompinit && bashcompinit\n${bash(program)}`
    case "fish":
      return fish(program)
    default:
      throw new LaminaError("USAGE", `expected bash, zsh or fish, got "${shell}"`)
  }
}

function bash(program: Command): string {
  const first = program.commands.map((command) => `    ${command.name()}) words="${words(command)}" ;;`)
  const second = program.commands.flatMap((group) =>
    group.commands.map((command) => `    "${group.name()} ${command.name()}") words="${words(command)}" ;;`),
  )
  return `_lamina() {
  local word="\${COMP_WORDS[COMP_CWORD]}" words="${words(program)}"
  [ "$COMP_CWORD" -lt 2 ] || case "\${COMP_WORDS[1]}" in
${first.join("\n")}
  esac
  [ "$COMP_CWORD" -lt 3 ] || case "\${COMP_WORDS[1]} \${COMP_WORDS[2]}" in
${second.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  [ "\${#COMPREPLY[@]}" -gt 0 ] || COMPREPLY=($(compgen -f -- "$word"))
}
complete -o filenames -F _lamina lamina
`
}

/** What may come after a command: the commands of a group, else options. */
function words(command: Command): string {
  const names = command.commands.map((sub) => sub.name())
  return (names.length > 0 ? names : longOptions(command)).join(" ")
}

function fish(program: Command): string {
  const lines = [
    ...program.commands.map((command) => fishCommand("__fish_use_subcommand", command)),
    ...program.commands.flatMap((command) => {
      const seen = `__fish_seen_subcommand_from ${command.name()}`
      const names = command.commands.map((sub) => sub.name()).join(" ")
      return [
        ...fishOptions(seen, command),
        ...command.commands.flatMap((sub) => [
          fishCommand(`${seen}; and not __fish_seen_subcommand_from ${names}`, sub),
          ...fishOptions(`${seen}; and __fish_seen_subcommand_from ${sub.name()}`, sub),
        ]),
      ]
    }),
  ]
  return `${lines.join("\n")}\n`
}

function fishCommand(when: string, command: Command): string {
  return `complete -c lamina -n '${when}' -a ${command.name()} -d '${command.description().replaceAll("'", "\\'")}'`
}

function fishOptions(when: string, command: Command): string[] {
  return longOptions(command).map((option) => `complete -c lamina -n '${when}' -l ${option.slice(2)}`)
}

function longOptions(command: Command): string[] {
  return command.options.flatMap(({ long }) => long ?? [])
}
