import { BuildError } from "@buildkit-ts/errdefs";
import { parseBool } from "@buildkit-ts/gotext";

/** One flag of a command. */
export interface FlagSpec {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly kind: "boolean" | "string" | "number" | "list";
  readonly description: string;
  readonly default?: string | number;
  readonly hidden?: boolean;
}

/** What was given on the command line: flags by their full name, and the rest. */
export class ParsedArguments {
  readonly positional: readonly string[];
  readonly #values: ReadonlyMap<string, readonly string[]>;
  readonly #specs: ReadonlyMap<string, FlagSpec>;

  constructor(
    values: ReadonlyMap<string, readonly string[]>,
    positional: readonly string[],
    specs: ReadonlyMap<string, FlagSpec>,
  ) {
    this.#values = values;
    this.positional = positional;
    this.#specs = specs;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  list(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  string(name: string): string {
    return this.#values.get(name)?.at(-1) ?? String(this.#specs.get(name)?.default ?? "");
  }

  /** @throws {BuildError} `invalid_argument` */
  boolean(name: string): boolean {
    const text = this.#values.get(name)?.at(-1);
    if (text === undefined) return false;
    const value = parseBool(text);
    if (value === undefined) throw invalidValue(text, name);
    return value;
  }

  /** @throws {BuildError} `invalid_argument` */
  number(name: string): number {
    const text = this.string(name);
    if (text === "") return 0;
    const value = Number(text);
    if (Number.isNaN(value)) throw invalidValue(text, name);
    return value;
  }
}

/**
 * Parses flags (`--name value`, `--name=value`, `-n value`, also with one dash) and positional arguments in any order.
 * With `stopsAtPositional`, parsing ends at the first that is no flag: the name of a command.
 *
 * @throws {BuildError} `invalid_argument`
 */
export function parseArguments(
  args: readonly string[],
  specs: readonly FlagSpec[],
  options: { readonly stopsAtPositional?: boolean } = {},
): ParsedArguments {
  const byName = new Map<string, FlagSpec>();
  for (const spec of specs) for (const name of [spec.name, ...(spec.aliases ?? [])]) byName.set(name, spec);
  const values = new Map<string, string[]>();
  const positional: string[] = [];
  const rest = [...args];
  for (let argument = rest.shift(); argument !== undefined; argument = rest.shift()) {
    if (argument === "--") {
      positional.push(...rest);
      break;
    }
    if (/^--?[^-]/.test(argument)) {
      const { spec, value } = takeFlag(argument, rest, byName);
      values.set(spec.name, [...(values.get(spec.name) ?? []), value]);
      continue;
    }
    positional.push(argument);
    if (options.stopsAtPositional !== true) continue;
    positional.push(...rest);
    break;
  }
  return new ParsedArguments(values, positional, byName);
}

/** A flag with its value, which may be the next of the remaining arguments. */
function takeFlag(
  argument: string,
  rest: string[],
  byName: ReadonlyMap<string, FlagSpec>,
): { readonly spec: FlagSpec; readonly value: string } {
  const { name, value } = splitFlag(argument);
  const spec = byName.get(name);
  if (spec === undefined) throw new BuildError("invalid_argument", `flag provided but not defined: -${name}`);
  const given = value ?? (spec.kind === "boolean" ? "true" : rest.shift());
  if (given === undefined) throw new BuildError("invalid_argument", `flag needs an argument: --${name}`);
  return { spec, value: given };
}

function splitFlag(argument: string): { readonly name: string; readonly value: string | undefined } {
  const bare = argument.replace(/^--?/, "");
  const equals = bare.indexOf("=");
  if (equals < 0) return { name: bare, value: undefined };
  return { name: bare.slice(0, equals), value: bare.slice(equals + 1) };
}

function invalidValue(text: string, name: string): BuildError {
  return new BuildError("invalid_argument", `invalid value ${JSON.stringify(text)} for flag -${name}`);
}
