import { parseBool, quote } from "@buildkit-ts/gotext";
import type { ParsedLine } from "../parser/parsed-line.ts";
import { csvFields } from "../text/csv-fields.ts";
import { invalid, prefixError } from "../text/located-error.ts";
import { suggestion } from "../text/suggest.ts";
import { Flags } from "./flags.ts";
import type {
  CmdInstruction,
  CommandLine,
  EntrypointInstruction,
  RunDevice,
  RunInstruction,
  ShellInstruction,
} from "./instruction.ts";
import { baseOf } from "./instruction-base.ts";
import { parseMountFlag } from "./run-mount.ts";

/** Reads RUN. */
export function readRun(line: ParsedLine): RunInstruction {
  const flags = new Flags(line.flags, { mount: "list", network: "string", security: "string", device: "list" });
  const command = readCommandLine(line);
  const devices = flags.list("device").map(readDevice);
  const mounts = flags.list("mount").map(parseMountFlag);
  return {
    ...baseOf(line),
    kind: "run",
    command,
    mounts,
    network: readNetwork(flags.string("network", "default")),
    security: readSecurity(flags.string("security", "sandbox")),
    devices,
  };
}

function readNetwork(value: string): RunInstruction["network"] {
  if (value === "default" || value === "none" || value === "host") return value;
  throw invalid(`invalid network mode ${quote(value)}`);
}

function readSecurity(value: string): RunInstruction["security"] {
  if (value === "sandbox" || value === "insecure") return value;
  throw invalid(`security ${quote(value)} is not valid`);
}

function readDevice(text: string): RunDevice {
  let name = "";
  let required = false;
  for (const field of deviceFields(text)) {
    const at = field.indexOf("=");
    const key = (at < 0 ? field : field.slice(0, at)).toLowerCase();
    const value = at < 0 ? undefined : field.slice(at + 1);
    if (key === "required") {
      const parsed = value === undefined || parseBool(value);
      if (parsed === undefined) throw invalid(`invalid value for ${key}: ${value}`);
      required = parsed;
    } else if (key === "name" && value !== undefined) {
      if (name !== "") throw invalid(`device name already set to ${name}`);
      name = value;
    } else if (name === "") name = field;
    else if (value === undefined) throw invalid(`invalid field '${field}' must be a key=value pair`);
    else throw invalid(`unexpected key '${key}' in '${field}'${suggestion(key, ["name", "required"])}`);
  }
  return { name, required };
}

function deviceFields(text: string): string[] {
  try {
    return csvFields(text);
  } catch (error) {
    throw prefixError("failed to parse csv devices", error);
  }
}

/** Reads CMD. */
export function readCmd(line: ParsedLine): CmdInstruction {
  rejectFlags(line);
  return { ...baseOf(line), kind: "cmd", command: readCommandLine(line) };
}

/** Reads ENTRYPOINT. */
export function readEntrypoint(line: ParsedLine): EntrypointInstruction {
  rejectFlags(line);
  return { ...baseOf(line), kind: "entrypoint", command: readCommandLine(line) };
}

/** Reads SHELL. */
export function readShell(line: ParsedLine): ShellInstruction {
  rejectFlags(line);
  if (line.args.length === 0) throw invalid("SHELL requires at least one argument");
  if (!line.json) throw invalid("SHELL requires the arguments to be in JSON form");
  return { ...baseOf(line), kind: "shell", shell: line.args };
}

/** @throws {BuildError} `invalid_argument` if the line has any flag. */
export function rejectFlags(line: ParsedLine): void {
  new Flags(line.flags, {});
}

function readCommandLine(line: ParsedLine): CommandLine {
  return {
    args: commandArguments(line.args, line.json),
    files: line.heredocs.map((heredoc) => ({ name: heredoc.name, data: heredoc.content, chomp: heredoc.chomp })),
    shell: !line.json,
  };
}

/** A JSON array as it is; other text as one argument for a shell. */
export function commandArguments(args: readonly string[], json: boolean): readonly string[] {
  return json || args.length === 0 ? args : [args.join(" ")];
}
