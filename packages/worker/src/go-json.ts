import type { DescEnum, DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { BuildError } from "@buildkit-ts/errdefs";
import { formatGoJson } from "@buildkit-ts/gotext";

/** How one field is written: the name in front of its value, and the value, unless that is zero. */
interface FieldPlan {
  readonly localName: string;
  readonly prefix: string;
  readonly encode: (value: unknown) => string | undefined;
}

/** Every file and exec op of every build is written, and what there is to know of their fields is always the same. */
const plans = new WeakMap<DescMessage, readonly FieldPlan[]>();

/**
 * The JSON text that Go's `encoding/json` gives for a generated struct: fields in the order of their numbers under their
 * proto names, zero values left out, bytes in base64. Cache keys are digests of it, so every byte counts.
 */
export function goJson(schema: DescMessage, message: Message): string {
  if (schema.typeName === "pb.UserOpt") return userJson(message);
  const values = message as unknown as Readonly<Record<string, unknown>>;
  let text = "";
  for (const { localName, prefix, encode } of planOf(schema)) {
    const value = encode(values[localName]);
    if (value !== undefined) text += text === "" ? `${prefix}${value}` : `,${prefix}${value}`;
  }
  return `{${text}}`;
}

function planOf(schema: DescMessage): readonly FieldPlan[] {
  let plan = plans.get(schema);
  if (plan === undefined) {
    plan = schema.fields
      .toSorted((a, b) => a.number - b.number)
      .map((field) => ({
        localName: field.localName,
        prefix: `${formatGoJson(field.name)}:`,
        encode: fieldEncoder(field),
      }));
    plans.set(schema, plan);
  }
  return plan;
}

/** An object of fields already encoded; undefined ones are left out. */
export function goObject(fields: readonly (readonly [name: string, text: string | undefined])[]): string {
  return `{${fields.flatMap(([name, text]) => (text === undefined ? [] : [`${formatGoJson(name)}:${text}`])).join(",")}}`;
}

/** A list of texts, or undefined for an empty one. */
export function goStrings(texts: readonly string[] | undefined): string | undefined {
  return texts === undefined || texts.length === 0
    ? undefined
    : `[${texts.map((text) => formatGoJson(text)).join(",")}]`;
}

function fieldEncoder(field: DescField): FieldPlan["encode"] {
  if (field.oneof !== undefined) {
    // Only `UserOpt` has one among the messages that cache keys are made of, and it is handled by itself.
    throw new BuildError("internal", `Cannot encode field "${field.name}": choices have no JSON form`);
  }
  switch (field.fieldKind) {
    case "scalar":
    case "enum":
      return scalarJson;
    case "message":
      return (value) => (value === undefined ? undefined : goJson(field.message, value as Message));
    case "list":
      return (value) => {
        const items = value as readonly unknown[];
        return items.length === 0 ? undefined : `[${items.map((item) => itemJson(field, item)).join(",")}]`;
      };
    case "map":
      return (value) => mapJson(field, value as Readonly<Record<string, unknown>>);
  }
}

function mapJson(
  field: DescField & { readonly fieldKind: "map" },
  map: Readonly<Record<string, unknown>>,
): string | undefined {
  const entries = Object.entries(map);
  if (entries.length === 0) return undefined;
  // Go sorts keys by their bytes.
  entries.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return `{${entries.map(([key, item]) => `${formatGoJson(key)}:${itemJson(field, item)}`).join(",")}}`;
}

function itemJson(
  field: { readonly message?: DescMessage | undefined; readonly enum?: DescEnum | undefined },
  value: unknown,
): string {
  if (field.message !== undefined) return goJson(field.message, value as Message);
  return plainJson(value);
}

function scalarJson(value: unknown): string | undefined {
  const empty =
    value === "" ||
    value === 0 ||
    value === 0n ||
    value === false ||
    (value instanceof Uint8Array && value.length === 0);
  return empty || value === undefined ? undefined : plainJson(value);
}

function plainJson(value: unknown): string {
  if (typeof value === "string") return formatGoJson(value);
  if (value instanceof Uint8Array) return formatGoJson(Buffer.from(value).toString("base64"));
  return String(value);
}

/** `UserOpt` has an encoding of its own: `{"User":{"byName":…}}` or `{"User":{"byId":…}}`, where root's id is left out. */
function userJson(message: Message): string {
  const { user } = message as unknown as {
    readonly user: {
      readonly case?: string;
      readonly value?: { readonly name: string; readonly input: bigint } | number;
    };
  };
  if (user.case === "byName" && typeof user.value === "object") {
    const { name, input } = user.value;
    const named = goObject([
      ["name", scalarJson(name)],
      ["input", scalarJson(input)],
    ]);
    return `{"User":{"byName":${named}}}`;
  }
  return `{"User":${goObject([["byId", scalarJson(user.value)]])}}`;
}
