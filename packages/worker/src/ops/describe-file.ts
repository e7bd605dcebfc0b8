import { opspb } from "@buildkit-ts/api";
import { digestOf } from "@buildkit-ts/oci";
import type { StepDescription } from "@buildkit-ts/solver";

/** What a file op's key is made of, as people know it. */
export function describeFile(op: opspb.FileOp): StepDescription {
  const fields = new Map<string, string>();
  const isOne = op.actions.length === 1;
  for (const [i, { action }] of op.actions.entries()) {
    if (action.case === undefined) continue;
    const name = isOne ? action.case : `${action.case} ${i + 1}`;
    for (const [field, value] of Object.entries(action.value)) {
      if (field.startsWith("$")) continue;
      const text = fieldText(field, value);
      if (text !== undefined) fields.set(`${name} ${labels[field] ?? field}`, text);
    }
  }
  return { kind: "file", fields };
}

const labels: Readonly<Record<string, string>> = {
  src: "source",
  dest: "destination",
  modeStr: "mode",
  includePatterns: "include patterns",
  excludePatterns: "exclude patterns",
};

function fieldText(field: string, value: unknown): string | undefined {
  if (value === undefined || value === "" || value === false || value === -1n) return undefined;
  // Bytes of a file may be anything, and a secret.
  if (value instanceof Uint8Array) return `${value.length} bytes ${digestOf(value).slice(0, 19)}`;
  if (field === "mode" && typeof value === "number") return value < 0 ? undefined : `0${value.toString(8)}`;
  if (field === "owner") return ownerText(value as opspb.ChownOpt);
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.join(" ");
  return typeof value === "object" ? JSON.stringify(value) : String(value as string | number | bigint | boolean);
}

function ownerText({ user, group }: opspb.ChownOpt): string | undefined {
  const name = (who: opspb.UserOpt | undefined): string => {
    if (who?.user.case === "byName") return who.user.value.name;
    return who?.user.case === "byID" ? String(who.user.value) : "";
  };
  const text = `${name(user)}:${name(group)}`;
  return text === ":" ? undefined : text;
}
