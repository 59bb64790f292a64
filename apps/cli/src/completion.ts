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
  const paths = program.commands.flatMap((command) => [
    { path: command.name(), command },
    ...command.commands.map((sub) => ({ path: `${command.name()} ${sub.name()}`, command: sub })),
  ])
  const known = paths.map(
    ({ path, command }) => `    "${path}") words="${names(command)}" options="${longOptions(command).join(" ")}" ;;`,
  )
  const choices = paths.flatMap(({ path, command }) =>
    command.options.flatMap(({ long, argChoices }) =>
      argChoices === undefined ? [] : [`    "${path} ${long}") choices="${argChoices.join(" ")}" ;;`],
    ),
  )
  return `_lamina() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" path="" choices=""
  local words="${names(program)}" options="${longOptions(program).join(" ")}"
  [ "$COMP_CWORD" -lt 2 ] || path="\${COMP_WORDS[1]}"
  case "$path" in ${groups(program)}) [ "$COMP_CWORD" -lt 3 ] || path="$path \${COMP_WORDS[2]}" ;; esac
  [ -z "$path" ] || words="" options=""
  case "$path" in
${known.join("\n")}
  esac
  case "$path $before" in
${choices.join("\n")}
  esac
  case "$choices:$word" in
    :-*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
    :*) COMPREPLY=($(if [ -n "$words" ]; then compgen -W "$words" -- "$word"; else compgen -f -- "$word"; fi)) ;;
    *) COMPREPLY=($(compgen -W "$choices" -- "$word")) ;;
  esac
}
complete -o filenames -F _lamina lamina
`
}

/** The commands of a group, or what the arguments of a command may be; nothing where that is anything. */
function names(command: Command): string {
  const choices = command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? [])
  return [...command.commands.map((sub) => sub.name()), ...choices].join(" ")
}

/** As a pattern of `case`. */
function groups(program: Command): string {
  return program.commands.flatMap((command) => (command.commands.length > 0 ? [command.name()] : [])).join("|")
}

function fish(program: Command): string {
  const lines = [
    ...program.commands.map((command) => fishCommand("__fish_use_subcommand", command)),
    ...program.commands.flatMap((command) => {
      const seen = `__fish_seen_subcommand_from ${command.name()}`
      return [
        ...fishOptions(seen, command),
        ...command.commands.flatMap((sub) => [
          fishCommand(`${seen}; and not __fish_seen_subcommand_from ${names(command)}`, sub),
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

/** An option with choices takes one of them, another one with a value a file or what is typed. */
function fishOptions(when: string, command: Command): string[] {
  const options = command.options.flatMap(({ long, argChoices, required }) => {
    if (long === undefined) return []
    const value = argChoices === undefined ? (required ? " -r" : "") : ` -x -a '${argChoices.join(" ")}'`
    return [`complete -c lamina -n '${when}' -l ${long.slice(2)}${value}`]
  })
  const choices = command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? [])
  const words = choices.length > 0 ? [`complete -c lamina -n '${when}' -f -a '${choices.join(" ")}'`] : []
  return [...words, ...options, `complete -c lamina -n '${when}' -l help`]
}

function longOptions(command: Command): string[] {
  return [...command.options.flatMap(({ long }) => long ?? []), "--help"]
}
