import { BuildError } from "@buildkit-ts/errdefs";
import { type ParsedArguments, parseArguments } from "./arguments/parse-arguments.ts";
import type { Command } from "./command.ts";
import { commands } from "./command-table.ts";
import { globalFlags } from "./global-flags.ts";
import { helpText } from "./help-text.ts";

const description = "build utility";

/** Runs one command line; gives the exit code. */
export async function runCli(args: readonly string[]): Promise<number> {
  let isDebug = false;
  try {
    const globals = parseArguments(args, globalFlags, { stopsAtPositional: true });
    isDebug = globals.boolean("debug");
    const logFormat = globals.string("log-format");
    if (logFormat !== "json" && logFormat !== "text" && logFormat !== "") {
      throw new BuildError("invalid_argument", `unsupported log type ${JSON.stringify(logFormat)}`);
    }
    if (globals.boolean("version")) return await printVersion();
    return await dispatch(globals, { flags: globalFlags, description, commands }, ["buildctl"]);
  } catch (error) {
    const { reportFailure } = await import("./output/report-failure.ts");
    reportFailure(error, { isDebug });
    return 1;
  }
}

async function dispatch(globals: ParsedArguments, parent: Omit<Command, "name">, path: string[]): Promise<number> {
  let rest = globals.positional;
  let current = parent;
  while (current.commands !== undefined) {
    const [name, ...more] = rest;
    if (name === undefined || name === "help" || isHelp(name) || (path.length === 1 && globals.boolean("help"))) {
      return print(helpText(path, current));
    }
    const next = current.commands.find((command) => command.name === name || command.aliases?.includes(name));
    if (next === undefined) throw new BuildError("invalid_argument", `No help topic for '${name}'`);
    current = next;
    path.push(next.name);
    rest = more;
  }
  const end = rest.indexOf("--");
  if ((end < 0 ? rest : rest.slice(0, end)).some(isHelp)) return print(helpText(path, current));
  const args = parseArguments(rest, current.flags ?? []);
  const action = await current.load?.();
  await action?.({ globals, args, signal: interruptSignal() });
  return 0;
}

function isHelp(argument: string): boolean {
  return argument === "--help" || argument === "-h";
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

async function printVersion(): Promise<number> {
  const { versionLine } = await import("./version.ts");
  return print(versionLine);
}

/** The first interrupt cancels, so that the daemon ends the build and tells how it ended; the second ends the process. */
function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(1);
    controller.abort(new BuildError("canceled", "context canceled"));
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return controller.signal;
}
