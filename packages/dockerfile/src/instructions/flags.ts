import { invalid } from "../text/located-error.ts";
import { suggestion } from "../text/suggest.ts";

/** What flags an instruction takes. */
export type FlagKinds = Readonly<Record<string, "bool" | "string" | "list">>;

/** The flags of one instruction after reading. */
export class Flags {
  readonly #values = new Map<string, string[]>();

  /** @throws {BuildError} `invalid_argument` for unknown, repeated or malformed flags. */
  constructor(words: readonly string[], kinds: FlagKinds) {
    for (const word of words) {
      if (word === "--") return;
      if (!word.startsWith("--")) throw invalid(`arg should start with -- : ${word}`);
      const at = word.indexOf("=");
      const flag = at < 0 ? word : word.slice(0, at);
      this.#add(flag, at < 0 ? undefined : word.slice(at + 1), kinds);
    }
  }

  #add(flag: string, value: string | undefined, kinds: FlagKinds): void {
    const name = flag.slice(2);
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
    if (kind === undefined) throw invalid(`unknown flag: ${flag}${suggestion(name, Object.keys(kinds))}`);
    const values = this.#values.get(name) ?? [];
    if (values.length > 0 && kind !== "list") throw invalid(`duplicate flag specified: ${flag}`);
    this.#values.set(name, [...values, kind === "bool" ? readBool(flag, value) : required(flag, value)]);
  }

  string(name: string, fallback = ""): string {
    return this.#values.get(name)?.[0] ?? fallback;
  }

  list(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** Undefined if the flag is not given. */
  bool(name: string): boolean | undefined {
    const value = this.#values.get(name)?.[0];
    return value === undefined ? undefined : value === "true";
  }
}

function required(flag: string, value: string | undefined): string {
  if (value === undefined) throw invalid(`missing a value on flag: ${flag}`);
  return value;
}

function readBool(flag: string, value: string | undefined): string {
  if (value === "") throw invalid(`missing a value on flag: ${flag}`);
  const lower = (value ?? "true").toLowerCase();
  if (lower !== "true" && lower !== "false")
    throw invalid(`expecting boolean value for flag ${flag}, not: ${value ?? ""}`);
  return lower;
}
