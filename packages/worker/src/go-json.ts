import type { DescEnum, DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { BuildError } from "@buildkit-ts/errdefs";
import { formatGoJson } from "@buildkit-ts/gotext";

/**
 * The JSON text that Go's `encoding/json` gives for a generated struct: fields in the order of their numbers under their
 * proto names, zero values left out, bytes in base64. Cache keys are digests of it, so every byte counts.
 */
export function goJson(schema: DescMessage, message: Message): string {
  if (schema.typeName === "pb.UserOpt") return userJson(message);
  const fields = schema.fields
    .toSorted((a, b) => a.number - b.number)
    .flatMap((field) => {
      const text = fieldJson(field, (message as unknown as Record<string, unknown>)[field.localName]);
      return text === undefined ? [] : [`${formatGoJson(field.name)}:${text}`];
    });
  return `{${fields.join(",")}}`;
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

function fieldJson(field: DescField, value: unknown): string | undefined {
  if (field.oneof !== undefined) {
    // Only `UserOpt` has one among the messages that cache keys are made of, and it is handled by itself.
    throw new BuildError("internal", `Cannot encode field "${field.name}": choices have no JSON form`);
  }
  switch (field.fieldKind) {
    case "scalar":
      return scalarJson(value);
    case "enum":
      return scalarJson(value);
    case "message":
      return value === undefined ? undefined : goJson(field.message, value as Message);
    case "list": {
      const items = value as readonly unknown[];
      return items.length === 0 ? undefined : `[${items.map((item) => itemJson(field, item)).join(",")}]`;
    }
    case "map": {
      const entries = Object.entries(value as Readonly<Record<string, unknown>>);
      // Go sorts keys by their bytes.
      entries.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      const texts = entries.map(([key, item]) => `${formatGoJson(key)}:${itemJson(field, item)}`);
      return texts.length === 0 ? undefined : `{${texts.join(",")}}`;
    }
  }
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
