import { BuildError } from "@buildkit-ts/errdefs";

/**
 * The fields of one line of comma-separated values: a field may be quoted, with quotes inside doubled.
 *
 * @throws {BuildError} `invalid_argument`, for a quote that is out of place.
 */
export function csvFields(line: string): string[] {
  const fields: string[] = [];
  for (let rest = line; ; ) {
    if (!rest.startsWith('"')) {
      const comma = rest.indexOf(",");
      const field = comma < 0 ? rest : rest.slice(0, comma);
      if (field.includes('"')) throw new BuildError("invalid_argument", 'bare " in non-quoted-field');
      fields.push(field);
      if (comma < 0) return fields;
      rest = rest.slice(comma + 1);
      continue;
    }
    const match = /^"((?:[^"]|"")*)"(,|$)/.exec(rest);
    if (match === null) throw new BuildError("invalid_argument", 'extraneous or missing " in quoted-field');
    fields.push((match[1] ?? "").replaceAll('""', '"'));
    rest = rest.slice(match[0].length);
    if (match[2] === "") return fields;
  }
}

/** `key=value` fields; keys in lower case. @throws {BuildError} `invalid_argument`, for a field without `=`. */
export function csvPairs(line: string, message: (field: string) => string): [string, string][] {
  return csvFields(line).map((field) => {
    const equals = field.indexOf("=");
    if (equals < 0) throw new BuildError("invalid_argument", message(field));
    return [field.slice(0, equals).toLowerCase(), field.slice(equals + 1)];
  });
}

/** `key=value` arguments as a record; the last of two equal keys wins. */
export function pairsFromArguments(values: readonly string[]): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const value of values) {
    const equals = value.indexOf("=");
    if (equals < 0) throw new BuildError("invalid_argument", `invalid value ${JSON.stringify(value)}: expected k=v`);
    pairs[value.slice(0, equals)] = value.slice(equals + 1);
  }
  return pairs;
}
