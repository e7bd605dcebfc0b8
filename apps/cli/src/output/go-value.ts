import { BuildError } from "@buildkit-ts/errdefs";

/** A value as templates see it: structs have fields by Go's names, which in JSON may be called otherwise. */
export type GoValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | GoStruct
  | readonly GoValue[]
  | ReadonlyMap<string, GoValue>;

/** A field: its name in Go, its name in JSON, and whether JSON leaves it out when it is empty. */
export interface GoField {
  readonly name: string;
  readonly json: string;
  readonly value: GoValue;
  readonly omitEmpty?: boolean;
}

/** A struct as Go programs print it. */
export class GoStruct {
  readonly fields: readonly GoField[];

  constructor(fields: readonly GoField[]) {
    this.fields = fields;
  }
}

/** A struct whose fields are called alike in Go and in JSON but for the first letter, or as `names` says. */
export function goStruct(
  values: Readonly<Record<string, GoValue>>,
  options: { readonly names?: Readonly<Record<string, string>>; readonly omitEmpty?: boolean } = {},
): GoStruct {
  const fields = Object.entries(values).map(([name, value]) => ({
    name,
    json: options.names?.[name] ?? name.charAt(0).toLowerCase() + name.slice(1),
    value,
    omitEmpty: options.omitEmpty === true,
  }));
  return new GoStruct(fields);
}

/** A map as Go has it. */
export function goMap(values: Readonly<Record<string, string>>): ReadonlyMap<string, GoValue> {
  return new Map(Object.entries(values));
}

/** A field of a struct, an entry of a map, or an element of a list. @throws {BuildError} `invalid_argument` */
export function lookup(value: GoValue, name: string): GoValue {
  if (value instanceof Map) return value.get(name) as GoValue;
  if (Array.isArray(value)) return value[Number(name)] as GoValue;
  if (value instanceof GoStruct) {
    const field = value.fields.find((candidate) => candidate.name === name);
    if (field !== undefined) return field.value;
  }
  throw new BuildError("invalid_argument", `template: can't evaluate field ${name}`);
}

/** JSON as Go writes it: maps sorted, empty lists and maps of structs as null. */
export function goJson(value: GoValue): string {
  if (value === undefined || value === null) return "null";
  if (typeof value === "bigint") return String(value);
  if (value instanceof GoStruct) {
    const fields = value.fields.filter((field) => field.omitEmpty !== true || !isEmpty(field.value));
    return `{${fields.map((field) => `${JSON.stringify(field.json)}:${goJson(field.value)}`).join(",")}}`;
  }
  if (value instanceof Map) {
    const keys = [...(value as ReadonlyMap<string, GoValue>).keys()].sort((left, right) => (left < right ? -1 : 1));
    return `{${keys.map((key) => `${JSON.stringify(key)}:${goJson(value.get(key) as GoValue)}`).join(",")}}`;
  }
  if (Array.isArray(value)) {
    return value.length === 0 ? "null" : `[${value.map((item) => goJson(item as GoValue)).join(",")}]`;
  }
  return JSON.stringify(value);
}

function isEmpty(value: GoValue): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (value instanceof Map) return value.size === 0;
  return value === undefined || value === null || value === "" || value === 0 || value === 0n || value === false;
}
