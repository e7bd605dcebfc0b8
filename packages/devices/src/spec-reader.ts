import { BuildError } from "@buildkit-ts/errdefs";

/** One table of a device file; every failure names the file and the member. */
export class SpecReader {
  readonly #path: string;
  readonly #prefix: string;
  readonly #table: Readonly<Record<string, unknown>>;

  private constructor(path: string, prefix: string, table: unknown) {
    if (typeof table !== "object" || table === null || Array.isArray(table)) {
      throw new BuildError("invalid_argument", `Cannot read device file "${path}": ${prefix || "it"} is no table`);
    }
    this.#path = path;
    this.#prefix = prefix;
    this.#table = table as Record<string, unknown>;
  }

  static open(path: string, parse: () => unknown): SpecReader {
    let document: unknown;
    try {
      document = parse();
    } catch (cause) {
      const [reason = ""] = (cause as Error).message.split("\n");
      throw new BuildError("invalid_argument", `Cannot read device file "${path}": ${reason}`, { cause });
    }
    return new SpecReader(path, "", document);
  }

  invalid(member: string, why: string): BuildError {
    return new BuildError(
      "invalid_argument",
      `Cannot read device file "${this.#path}", member ${this.#prefix}${member}: ${why}`,
    );
  }

  /** For what would be lost silently: a device without it would not work as its vendor means it to. */
  refuse(...members: readonly string[]): void {
    for (const member of members) {
      if (this.#find(member) !== undefined) throw this.invalid(member, "this daemon cannot do that");
    }
  }

  text(member: string, pattern: RegExp): string {
    const text = this.findText(member, pattern);
    if (text === undefined) throw this.invalid(member, "missing");
    return text;
  }

  findText(member: string, pattern: RegExp): string | undefined {
    const value = this.#find(member);
    if (value === undefined || value === "") return undefined;
    if (typeof value !== "string" || !pattern.test(value) || value.includes("\0")) {
      throw this.invalid(member, `cannot be ${JSON.stringify(value).slice(0, 200)}`);
    }
    return value;
  }

  textList(member: string, pattern: RegExp): string[] {
    return this.#list(member).map((value) => {
      if (typeof value === "string" && pattern.test(value) && !value.includes("\0")) return value;
      throw this.invalid(member, `cannot hold ${JSON.stringify(value).slice(0, 200)}`);
    });
  }

  /** Annotations: YAML's numbers and booleans are texts here. */
  texts(member: string): Record<string, string> {
    const table = this.#find(member) === undefined ? {} : this.table(member).#table;
    return Object.fromEntries(
      Object.entries(table).map(([key, value]) => {
        if (typeof value === "string") return [key, value];
        if (typeof value === "number" || typeof value === "boolean") return [key, String(value)];
        throw this.invalid(`${member}.${key}`, "no text");
      }),
    );
  }

  numberList(member: string): number[] {
    return this.#list(member).map((value) => this.#number(member, value));
  }

  /** Those of the members that are there. */
  numbers<M extends string>(...members: readonly M[]): Partial<Record<M, number>> {
    const found = members.filter((member) => this.#find(member) !== undefined);
    return Object.fromEntries(found.map((member) => [member, this.#number(member, this.#find(member))])) as Partial<
      Record<M, number>
    >;
  }

  /** Empty where it is absent. */
  table(member: string): SpecReader {
    return new SpecReader(this.#path, `${this.#prefix}${member}.`, this.#find(member) ?? {});
  }

  list(member: string): SpecReader[] {
    return this.#list(member).map((item, i) => new SpecReader(this.#path, `${this.#prefix}${member}[${i}].`, item));
  }

  #number(member: string, value: unknown): number {
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
    throw this.invalid(member, "no whole number");
  }

  #list(member: string): unknown[] {
    const value = this.#find(member) ?? [];
    if (!Array.isArray(value)) throw this.invalid(member, "no list");
    return value as unknown[];
  }

  #find(member: string): unknown {
    return (Object.hasOwn(this.#table, member) ? this.#table[member] : undefined) ?? undefined;
  }
}
