import { Argument, Command, type Option } from "commander";
import { reporting } from "./reporting.ts";
import { withExamples } from "./answering.ts";

const shells = ["bash", "zsh", "fish"] as const;
type Shell = (typeof shells)[number];

/** A command, with what may follow its name. */
interface Node {
  /** Without the program's name. */
  path: string;
  commands: string[];
  options: string[];
  /** What an option, or the command itself (""), takes of a fixed set. */
  choices: Map<string, readonly string[]>;
  takesFile: boolean;
}

/** `latticeway completion bash|zsh|fish`, out of the commands that there are. */
export function completionCommand(program: () => Command): Command {
  return withExamples(
    new Command("completion")
      .description("Print what a shell needs to complete this command")
      .addArgument(new Argument("<shell>").choices(shells)),
    [
      "latticeway completion bash > ~/.local/share/bash-completion/completions/latticeway",
      'latticeway completion zsh > "${fpath[1]}/_latticeway"',
      "latticeway completion fish > ~/.config/fish/completions/latticeway.fish",
    ],
  ).action((shell: Shell, _options: object, command: Command) =>
    reporting(command, async () => completion(program(), shell)),
  );
}

/** A script for a shell. */
export function completion(program: Command, shell: Shell): string {
  const nodes = nodesOf(program);
  return { bash, zsh, fish }[shell](program.name(), nodes);
}

function nodesOf(command: Command, path: readonly string[] = []): Node[] {
  const commands = command.commands.map((each) => each.name()).filter((name) => name !== "help");
  const options = command.options.flatMap(({ long }) => (long ? [long] : []));
  const choices = new Map<string, readonly string[]>();
  for (const option of command.options as Option[]) {
    if (option.argChoices && option.long) choices.set(option.long, option.argChoices);
  }
  const given = command.registeredArguments;
  const fixed = given.find(({ argChoices }) => argChoices)?.argChoices;
  if (fixed) choices.set("", fixed);
  const takesFile = given.some((argument) => argument.name().includes("file"));
  const node = {
    path: path.join(" "),
    commands,
    options: [...options, "--help"],
    choices,
    takesFile,
  };
  return [node, ...command.commands.flatMap((each) => nodesOf(each, [...path, each.name()]))];
}

/**
 * What has been typed is followed down the commands; what may come next is looked up. Names are of
 * letters, digits and `-`: nothing in here has to be quoted.
 */
function bash(name: string, nodes: readonly Node[]): string {
  return `# bash completion of ${name}
_${name}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} at="" i words=""
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at/\${COMP_WORDS[i]}" in
${walk(nodes)}
    esac
  done
  case "$at:$prev" in
${optionChoices(nodes)}
  esac
  if [ -z "$words" ]; then
    case "$at" in
${wordsByNode(nodes)}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _${name} ${name}`;
}

function walk(nodes: readonly Node[]): string {
  return nodes
    .flatMap(({ path, commands }) =>
      commands.map((each) => `      "${path}/${each}") at="${`${path} ${each}`.trim()}" ;;`),
    )
    .join("\n");
}

function optionChoices(nodes: readonly Node[]): string {
  return nodes
    .flatMap(({ path, choices }) =>
      [...choices]
        .filter(([option]) => option !== "")
        .map(([option, values]) => `    "${path}:${option}") words="${values.join(" ")}" ;;`),
    )
    .join("\n");
}

function wordsByNode(nodes: readonly Node[]): string {
  return nodes
    .map((node) => `      "${node.path}") words="${wordsOf(node).join(" ")}" ;;`)
    .join("\n");
}

function wordsOf({ commands, options, choices }: Node): string[] {
  return [...commands, ...(choices.get("") ?? []), ...options];
}

/** zsh has its own names for what bash has in COMP_WORDS. */
function zsh(name: string, nodes: readonly Node[]): string {
  return `#compdef ${name}
_${name}() {
  local cur=\${words[CURRENT]} prev=\${words[CURRENT-1]} at="" i found=""
  for ((i = 2; i < CURRENT; i++)); do
    case "$at/\${words[i]}" in
${walk(nodes)}
    esac
  done
  case "$at:$prev" in
${optionChoices(nodes).replaceAll(" words=", " found=")}
  esac
  if [ -z "$found" ]; then
    case "$at" in
${wordsByNode(nodes).replaceAll(" words=", " found=")}
    esac
  fi
  compadd -- \${=found}
  case "$cur" in -*) ;; *) _files ;; esac
}
compdef _${name} ${name}`;
}

function fish(name: string, nodes: readonly Node[]): string {
  const lines = nodes.flatMap((node) => {
    const here = `test "$(__${name}_at)" = "${node.path}"`;
    const add = (condition: string, words: readonly string[]) =>
      words.length === 0
        ? []
        : [
            `complete -c ${name} ${node.takesFile ? "" : "-f "}-n '${condition}' -a '${words.join(" ")}'`,
          ];
    return [
      ...add(here, wordsOf(node)),
      ...[...node.choices]
        .filter(([option]) => option !== "")
        .flatMap(([option, values]) =>
          add(`${here}; and test "$(__${name}_last)" = "${option}"`, values),
        ),
    ];
  });
  return `# fish completion of ${name}
function __${name}_last
  set -l typed (commandline -opc)
  echo $typed[-1]
end
function __${name}_at
  set -l at ""
  for word in (commandline -opc)[2..-1]
    switch "$at/$word"
${nodes
  .flatMap(({ path, commands }) =>
    commands.map(
      (each) => `      case "${path}/${each}"\n        set at "${`${path} ${each}`.trim()}"`,
    ),
  )
  .join("\n")}
    end
  end
  echo $at
end
${lines.join("\n")}`;
}
