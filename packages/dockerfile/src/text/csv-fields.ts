import { BuildError } from "@buildkit-ts/errdefs";

/**
 * The fields of one CSV line (RFC 4180 quoting), as flags such as `--mount=type=cache,"target=/a,b"` are written.
 *
 * @throws {BuildError} `invalid_argument`; an empty line is `EOF`, a misplaced quote names its column.
 */
export function csvFields(line: string): string[] {
  const text = line.replace(/\r?\n$/, "");
  if (text === "") throw new BuildError("invalid_argument", "EOF");
  const fields: string[] = [];
  let position = 0;
  for (;;) {
    const field = text[position] === '"' ? quotedField(text, position) : bareField(text, position);
    fields.push(field.value);
    if (field.end >= text.length) return fields;
    position = field.end + 1;
    if (position === text.length) return [...fields, ""];
  }
}

interface Field {
  readonly value: string;
  /** Index of the comma after the field, or the text's length. */
  readonly end: number;
}

function bareField(text: string, start: number): Field {
  const comma = text.indexOf(",", start);
  const end = comma < 0 ? text.length : comma;
  const value = text.slice(start, end);
  const quoteAt = value.indexOf('"');
  if (quoteAt >= 0) throw malformed(start + quoteAt, 'bare " in non-quoted field');
  return { value, end };
}

function quotedField(text: string, start: number): Field {
  let value = "";
  let from = start + 1;
  for (;;) {
    const close = text.indexOf('"', from);
    if (close < 0) throw malformed(from, 'extraneous or missing " in quoted-field');
    value += text.slice(from, close);
    const next = text[close + 1];
    if (next === undefined || next === ",") return { value, end: close + 1 };
    if (next !== '"') throw malformed(close, 'extraneous or missing " in quoted-field');
    value += '"';
    from = close + 2;
  }
}

function malformed(index: number, why: string): BuildError {
  return new BuildError("invalid_argument", `parse error on line 1, column ${index + 1}: ${why}`);
}
