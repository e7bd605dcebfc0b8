/** Variables that words are expanded with. */
export interface Environment {
  get(name: string): string | undefined;
  /** Names, oldest first. */
  keys(): readonly string[];
}

/** No variable at all. */
export const emptyEnvironment: Environment = { get: () => undefined, keys: () => [] };

/** An immutable list of variables; setting one again moves it to the end. */
export class EnvironmentList implements Environment {
  readonly #values: ReadonlyMap<string, string>;

  constructor(values: Iterable<readonly [string, string]> = []) {
    const map = new Map<string, string>();
    for (const [name, value] of values) {
      map.delete(name);
      map.set(name, value);
    }
    this.#values = map;
  }

  get(name: string): string | undefined {
    return this.#values.get(name);
  }

  keys(): readonly string[] {
    return [...this.#values.keys()];
  }

  entries(): Iterable<readonly [string, string]> {
    return this.#values.entries();
  }

  with(name: string, value: string): EnvironmentList {
    return new EnvironmentList([...this.#values, [name, value]]);
  }

  without(name: string): EnvironmentList {
    return new EnvironmentList([...this.#values].filter(([key]) => key !== name));
  }
}

/** `name` and `value` of `name=value`; the value is empty when there is no `=`. */
export function splitVariable(variable: string): readonly [string, string] {
  const at = variable.indexOf("=");
  return at < 0 ? [variable, ""] : [variable.slice(0, at), variable.slice(at + 1)];
}
