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

/** How one field is written, under its name unless it has no value. */
interface FieldPlan {
  readonly name: string;
  readonly localName: string;
  readonly encode: (value: unknown) => JsonValue | undefined;
}

interface ChoicePlan {
  readonly name: string;
  readonly localName: string;
  /** By the name of what is chosen. */
  readonly fields: ReadonlyMap<string, FieldPlan>;
}

interface MessagePlan {
  readonly fields: readonly FieldPlan[];
  readonly choices: readonly ChoicePlan[];
}

/** Every step of every build is written, and what there is to know of its fields is always the same. */
const plans = new WeakMap<DescMessage, MessagePlan>();

/**
 * The message as Go's `encoding/json` writes BuildKit's structs: fields in the order of their numbers under their proto
 * names, zero values left out, bytes in base64.
 */
export function goStruct(schema: DescMessage, message: Message): { [name: string]: JsonValue } {
  const out: { [name: string]: JsonValue } = {};
  const values = message as unknown as Fields;
  const plan = planOf(schema);
  for (const { name, localName, encode } of plan.fields) {
    const value = encode(values[localName]);
    if (value !== undefined) out[name] = value;
  }
  for (const { name, localName, fields } of plan.choices) {
    const choice = values[localName] as { readonly case?: string; readonly value?: unknown };
    const field = choice.case === undefined ? undefined : fields.get(choice.case);
    const value = field?.encode(choice.value);
    out[name] = field === undefined || value === undefined ? {} : { [field.name]: value };
  }
  return out;
}

function planOf(schema: DescMessage): MessagePlan {
  const known = plans.get(schema);
  if (known !== undefined) return known;
  const plan = {
    fields: schema.fields
      .filter(({ oneof }) => oneof === undefined)
      .toSorted((a, b) => a.number - b.number)
      .map((field) => planField(field, alwaysWritten.has(`${schema.typeName}.${field.name}`))),
    choices: schema.oneofs.map((oneof) => ({
      name: choiceNames[schema.typeName] ?? oneof.name,
      localName: oneof.localName,
      fields: new Map(oneof.fields.map((field) => [field.localName, planField(field, false)])),
    })),
  };
  plans.set(schema, plan);
  return plan;
}

function planField(field: DescField, isWritten: boolean): FieldPlan {
  return { name: field.name, localName: field.localName, encode: fieldEncoder(field, isWritten) };
}

function fieldEncoder(field: DescField, isWritten: boolean): FieldPlan["encode"] {
  switch (field.fieldKind) {
    case "scalar":
    case "enum":
      return (value) => (isWritten || !isZero(value) ? plainValue(value) : undefined);
    case "message":
      return (value) => (value === undefined ? undefined : goStruct(field.message, value as Message));
    case "list":
      return (value) => {
        const items = value as readonly unknown[];
        return items.length === 0 ? undefined : items.map((item) => itemValue(field.message, item));
      };
    case "map":
      return (value) => {
        const entries = Object.entries(value as Fields);
        if (entries.length === 0) return undefined;
        const sorted = entries.toSorted(([a], [b]) => (a < b ? -1 : 1));
        return Object.fromEntries(sorted.map(([key, item]) => [key, itemValue(field.message, item)]));
      };
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
