import type { FlagSpec } from "./arguments/parse-arguments.ts";
import type { Command } from "./command.ts";

/** What `--help` shows of a command. */
export function helpText(path: readonly string[], command: Omit<Command, "name">): string {
  const subcommands = (command.commands ?? []).filter((sub) => sub.hidden !== true);
  const flags = (command.flags ?? []).filter((flag) => flag.hidden !== true);
  const parts = [`${path.join(" ")} - ${command.description}`];
  const rest = subcommands.length > 0 ? "<command>" : (command.usage ?? "");
  parts.push(`Usage: ${[...path, flags.length > 0 ? "[flags]" : "", rest].filter(Boolean).join(" ")}`);
  if (subcommands.length > 0) {
    parts.push(
      section(
        "Commands",
        subcommands.map((sub) => [[sub.name, ...(sub.aliases ?? [])].join(", "), sub.description]),
      ),
    );
  }
  if (flags.length > 0)
    parts.push(
      section(
        "Flags",
        flags.map((flag) => [flagNames(flag), flagDescription(flag)]),
      ),
    );
  return `${parts.join("\n\n")}\n`;
}

function section(title: string, rows: readonly (readonly [string, string] | string[])[]): string {
  const width = Math.max(...rows.map(([name = ""]) => name.length)) + 2;
  return `${title}:\n${rows.map(([name = "", text = ""]) => `  ${name.padEnd(width)}${text}`).join("\n")}`;
}

function flagNames(flag: FlagSpec): string {
  const names = [flag.name, ...(flag.aliases ?? [])].map((name) => (name.length === 1 ? `-${name}` : `--${name}`));
  return names.join(", ") + (flag.kind === "boolean" ? "" : " value");
}

function flagDescription(flag: FlagSpec): string {
  return flag.default === undefined ? flag.description : `${flag.description} (default: ${flag.default})`;
}
