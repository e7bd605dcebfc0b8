import type { FlagSpec, ParsedArguments } from "./arguments/parse-arguments.ts";

/** What a running command works with. */
export interface CommandContext {
  /** Flags before the command's name. */
  readonly globals: ParsedArguments;
  readonly args: ParsedArguments;
  /** Aborted by the first interrupt. */
  readonly signal: AbortSignal;
}

/** Runs a command; what it throws is shown, and the exit code is 1. */
export type CommandAction = (context: CommandContext) => Promise<void>;

/** One command, whose code is loaded when it is used: most commands need little, and all should start at once. */
export interface Command {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly description: string;
  /** What follows the name, for the help text. */
  readonly usage?: string;
  readonly flags?: readonly FlagSpec[];
  readonly hidden?: boolean;
  readonly commands?: readonly Command[];
  readonly load?: () => Promise<CommandAction>;
}
