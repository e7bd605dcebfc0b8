import { clone, type DescMessage, type MessageShape, ScalarType } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";

const isNightly = process.env["NIGHTLY"] === "1";

/** A message with one field changed, and what was done to it. */
export interface Variant<D extends DescMessage> {
  readonly what: string;
  readonly message: MessageShape<D>;
}

const numbers = isNightly
  ? [-(2n ** 63n), -(2n ** 31n), -2n, -1n, 1n, 7n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 53n + 1n, 2n ** 63n - 1n]
  : [-2n, 2n ** 31n - 1n];

/** Every message that comes of one field of it, or of a message in it, being absent, empty or out of range. */
export function variants<D extends DescMessage>(schema: D, base: MessageShape<D>): Variant<D>[] {
  const found: Variant<D>[] = [];
  const visit = (path: readonly string[], locate: (root: ReflectMessage) => ReflectMessage): void => {
    const change = (what: string, edit: (message: ReflectMessage) => void): void => {
      const message = clone(schema, base);
      edit(locate(reflect(schema, message)));
      found.push({ what: [...path, what].join("."), message });
    };
    for (const field of locate(reflect(schema, base)).fields) {
      const { name } = field;
      if (!locate(reflect(schema, base)).isSet(field)) continue;
      change(`${name} absent`, (message) => message.clear(field));
      if (field.fieldKind === "message") visit([...path, name], (root) => locate(root).get(field));
      else if (field.fieldKind === "enum") change(`${name} 99`, (message) => message.set(field, 99));
      else if (field.fieldKind === "scalar") {
        const isUnsigned = field.scalar === ScalarType.UINT32 || field.scalar === ScalarType.UINT64;
        for (const value of valuesFor(locate(reflect(schema, base)).get(field), isUnsigned))
          change(`${name} ${String(value)}`, (message) => message.set(field, value));
      } else if (field.fieldKind === "list" && field.listKind === "message") {
        change(`${name} of nothing`, (message) => message.get(field).set(0, reflect(field.message)));
        for (let index = 0; index < locate(reflect(schema, base)).get(field).size; index += 1)
          visit([...path, `${name}[${index}]`], (root) => locate(root).get(field).get(index) as ReflectMessage);
      }
    }
  };
  visit([], (root) => root);
  return found;
}

function valuesFor(value: unknown, isUnsigned: boolean): readonly unknown[] {
  if (typeof value === "string") return isNightly ? ["\0", "../..", "x".repeat(70_000)] : [];
  const inRange = numbers.filter((one) => !isUnsigned || one >= 0n);
  if (typeof value === "bigint") return inRange;
  return typeof value === "number" ? inRange.filter((one) => BigInt.asIntN(32, one) === one).map(Number) : [];
}
