import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";

/** What `JSON.stringify` writes. Whole numbers beyond 2^53 are `JSON.rawJSON`, so that none loses digits. */
export type JsonValue =
  | string
  | number
  | boolean
  | RawJson
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** A value whose text is written as it is. */
export interface RawJson {
  readonly rawJSON: string;
}

/** TypeScript's library does not know this function yet. */
const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => RawJson };

type Fields = Readonly<Record<string, unknown>>;

/** Choices that BuildKit's own encoder wraps into an object of this name; those of other messages do not occur. */
const choiceNames: Readonly<Record<string, string>> = {
  "pb.Op": "Op",
  "pb.FileAction": "Action",
  "pb.UserOpt": "User",
};

/** Fields that are written also if they are zero. */
const alwaysWritten = new Set(["pb.FileAction.input", "pb.FileAction.secondaryInput", "pb.FileAction.output"]);

/**
 * The message as Go's `encoding/json` writes BuildKit's structs: fields in the order of their numbers under their proto
 * names, zero values left out, bytes in base64.
 */
export function goStruct(schema: DescMessage, message: Message): { [name: string]: JsonValue } {
  const out: { [name: string]: JsonValue } = {};
  const fields = message as unknown as Fields;
  for (const field of schema.fields.toSorted((a, b) => a.number - b.number)) {
    if (field.oneof !== undefined) continue;
    const isWritten = alwaysWritten.has(`${schema.typeName}.${field.name}`);
    const value = fieldValue(field, fields[field.localName], isWritten);
    if (value !== undefined) out[field.name] = value;
  }
  for (const oneof of schema.oneofs) {
    const choice = fields[oneof.localName] as { readonly case?: string; readonly value?: unknown };
    const field = oneof.fields.find(({ localName }) => localName === choice.case);
    const value = field === undefined ? undefined : fieldValue(field, choice.value, false);
    out[choiceNames[schema.typeName] ?? oneof.name] =
      field === undefined || value === undefined ? {} : { [field.name]: value };
  }
  return out;
}

function fieldValue(field: DescField, value: unknown, isWritten: boolean): JsonValue | undefined {
  switch (field.fieldKind) {
    case "scalar":
    case "enum":
      return isWritten || !isZero(value) ? plainValue(value) : undefined;
    case "message":
      return value === undefined ? undefined : goStruct(field.message, value as Message);
    case "list": {
      const items = value as readonly unknown[];
      return items.length === 0 ? undefined : items.map((item) => itemValue(field.message, item));
    }
    case "map": {
      const entries = Object.entries(value as Fields).toSorted(([a], [b]) => (a < b ? -1 : 1));
      if (entries.length === 0) return undefined;
      return Object.fromEntries(entries.map(([key, item]) => [key, itemValue(field.message, item)]));
    }
  }
}

function itemValue(message: DescMessage | undefined, item: unknown): JsonValue {
  return message === undefined ? plainValue(item) : goStruct(message, item as Message);
}

function isZero(value: unknown): boolean {
  return (
    value === undefined ||
    value === "" ||
    value === 0 ||
    value === 0n ||
    value === false ||
    (value instanceof Uint8Array && value.length === 0)
  );
}

function plainValue(value: unknown): JsonValue {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : rawJSON(String(value));
  }
  return value as string | number | boolean;
}
