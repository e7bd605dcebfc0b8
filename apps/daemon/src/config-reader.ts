import { BuildError } from "@buildkit-ts/errdefs";

/** A table of TOML. */
export type Table = Readonly<Record<string, unknown>>;

/** One table of the file; every failure names the file and the key. */
export class ConfigReader {
  readonly path: string;
  readonly #prefix: string;
  readonly #table: Table;

  constructor(path: string, prefix: string, table: Table) {
    this.path = path;
    this.#prefix = prefix;
    this.#table = table;
  }

  keys(): string[] {
    return Object.keys(this.#table);
  }

  /** Refuses keys that nobody reads: a misspelt one would silently have no effect. */
  allow(keys: readonly string[]): this {
    const unknown = this.keys().find((key) => !keys.includes(key));
    if (unknown !== undefined) throw this.#invalid(unknown, `no such key; known are ${keys.join(", ")}`);
    return this;
  }

  refuse(key: string, what: string): void {
    const value = this.#table[key];
    if (value === undefined || value === false || value === "") return;
    throw new BuildError(
      "unimplemented",
      `Cannot use configuration "${this.path}", key ${this.#prefix}${key}: this daemon lacks ${what}`,
    );
  }

  text(key: string): string | undefined {
    return this.#typed(key, "string", (value): value is string => typeof value === "string");
  }

  boolean(key: string): boolean | undefined {
    return this.#typed(key, "boolean", (value): value is boolean => typeof value === "boolean");
  }

  number(key: string): number | undefined {
    return this.#typed(key, "number", (value): value is number => typeof value === "number");
  }

  quantity(key: string): string | number | undefined {
    return this.#typed(key, "number or text", (value) => typeof value === "string" || typeof value === "number");
  }

  texts(key: string): string[] | undefined {
    return this.#typed(
      key,
      "list of texts",
      (value): value is string[] => Array.isArray(value) && value.every((item) => typeof item === "string"),
    );
  }

  strings(key: string): Record<string, string> | undefined {
    const table = this.find(key);
    return table === undefined
      ? undefined
      : Object.fromEntries(table.keys().map((name) => [name, table.text(name) ?? ""]));
  }

  find(key: string): ConfigReader | undefined {
    const table = this.#typed(key, "table", isTable);
    return table === undefined ? undefined : new ConfigReader(this.path, `${this.#prefix}${key}.`, table);
  }

  table(key: string): ConfigReader {
    return this.find(key) ?? new ConfigReader(this.path, `${this.#prefix}${key}.`, {});
  }

  tables(key: string): ConfigReader[] {
    const all =
      this.#typed(key, "list of tables", (value): value is Table[] => Array.isArray(value) && value.every(isTable)) ??
      [];
    return all.map((table) => new ConfigReader(this.path, `${this.#prefix}${key}.`, table));
  }

  #typed<T>(key: string, what: string, is: (value: unknown) => value is T): T | undefined {
    const value = Object.hasOwn(this.#table, key) ? this.#table[key] : undefined;
    if (value === undefined || is(value)) return value;
    throw this.#invalid(key, `not a ${what}`);
  }

  #invalid(key: string, why: string): BuildError {
    return new BuildError(
      "invalid_argument",
      `Cannot read configuration "${this.path}", key ${this.#prefix}${key}: ${why}`,
    );
  }
}

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
