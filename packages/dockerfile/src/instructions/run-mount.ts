import { parseBool, quote } from "@buildkit-ts/gotext";
import { csvFields } from "../text/csv-fields.ts";
import { invalid, prefixError } from "../text/located-error.ts";
import { suggestion } from "../text/suggest.ts";
import { parseByteSize } from "./byte-size.ts";

/** The text of one `--mount` flag, and its stage, which alone is known before variables are. */
export interface RunMountFlag {
  readonly text: string;
  readonly from: string;
}

/** A `RUN --mount`. */
export interface RunMount {
  type: "bind" | "cache" | "tmpfs" | "secret" | "ssh";
  from: string;
  source: string;
  target: string;
  readOnly: boolean;
  sizeLimit: bigint;
  id: string;
  sharing: "" | "shared" | "private" | "locked";
  required: boolean;
  env?: string;
  mode?: number;
  uid?: number;
  gid?: number;
}

interface State {
  readonly mount: RunMount;
  /** Undefined until the mount says whether it is read-only. */
  readOnly: boolean | undefined;
}

const mountTypes = ["bind", "cache", "tmpfs", "secret", "ssh"] as const;
const sharingModes = ["shared", "private", "locked"] as const;
const keys =
  "type from source target readonly id sharing required size mode uid gid src dst destination ro rw readwrite env".split(
    " ",
  );

/** Reads what is known of a mount before variables are: its stage, which must not hold any. */
export function parseMountFlag(text: string): RunMountFlag {
  let from = "";
  for (const field of fieldsOf(text)) {
    const [key, value] = splitField(field);
    if (key !== "from" || value === undefined) continue;
    const dollar = value.indexOf("$");
    if (dollar >= 0 && dollar !== value.length - 1)
      throw invalid("'from' doesn't support variable expansion, define alias stage instead");
    from = value;
  }
  return { text, from };
}

/**
 * Reads a whole mount, each value passed through `expand`.
 *
 * @throws {BuildError} `invalid_argument` naming the key or value.
 */
export function parseMount(text: string, expand: (word: string) => string): RunMount {
  const mount: RunMount = {
    type: "bind",
    from: "",
    source: "",
    target: "",
    readOnly: false,
    sizeLimit: 0n,
    id: "",
    sharing: "",
    required: false,
  };
  const state: State = { mount, readOnly: undefined };
  for (const field of fieldsOf(text)) {
    const [key, value] = splitField(field);
    if (value === undefined) readBareKey(state, key, field);
    else readField(state, { key, value: expand(value), field });
  }
  checkOwnership(mount);
  mount.readOnly = state.readOnly ?? (mount.type !== "cache" && mount.type !== "tmpfs");
  if (mount.type === "secret") checkSecret(mount);
  if (mount.sharing !== "" && mount.type !== "cache")
    throw invalid(`invalid cache sharing set for ${mount.type} mount`);
  return mount;
}

function fieldsOf(text: string): string[] {
  try {
    return csvFields(text);
  } catch (error) {
    throw prefixError("failed to parse csv mounts", error);
  }
}

function splitField(field: string): readonly [string, string | undefined] {
  const at = field.indexOf("=");
  return at < 0 ? [field.toLowerCase(), undefined] : [field.slice(0, at).toLowerCase(), field.slice(at + 1)];
}

function readBareKey(state: State, key: string, field: string): void {
  if (key === "readonly" || key === "ro") state.readOnly = true;
  else if (key === "readwrite" || key === "rw") state.readOnly = false;
  else if (key === "required") state.mount.required = requirable(state.mount, key, true);
  else throw invalid(`invalid field '${field}' must be a key=value pair`);
}

interface Field {
  readonly key: string;
  readonly value: string;
  readonly field: string;
}

type Setter = (state: State, field: Field) => void;

const setters: Readonly<Record<string, Setter>> = {
  type: ({ mount }, { value }) => {
    mount.type = oneOf(mountTypes, value, "mount type");
  },
  from: ({ mount }, { value }) => {
    mount.from = value;
  },
  source: setSource,
  src: setSource,
  target: setTarget,
  dst: setTarget,
  destination: setTarget,
  readonly: (state, field) => {
    state.readOnly = bool(field);
  },
  ro: (state, field) => {
    state.readOnly = bool(field);
  },
  readwrite: (state, field) => {
    state.readOnly = !bool(field);
  },
  rw: (state, field) => {
    state.readOnly = !bool(field);
  },
  required: ({ mount }, field) => {
    mount.required = requirable(mount, field.key, () => bool(field));
  },
  size: ({ mount }, { key, value }) => {
    if (mount.type !== "tmpfs") throw invalid(`unexpected key '${key}' for mount type '${mount.type}'`);
    const size = parseByteSize(value);
    if (size === undefined) throw invalid(`invalid value for ${key}: ${value}`);
    mount.sizeLimit = size;
  },
  id: ({ mount }, { value }) => {
    mount.id = value;
  },
  sharing: ({ mount }, { value }) => {
    mount.sharing = oneOf(sharingModes, value, "sharing value");
  },
  mode: ({ mount }, { value }) => {
    mount.mode = unsigned(value, 8, "mode");
  },
  uid: ({ mount }, { value }) => {
    mount.uid = unsigned(value, 10, "uid");
  },
  gid: ({ mount }, { value }) => {
    mount.gid = unsigned(value, 10, "gid");
  },
  env: ({ mount }, { value }) => {
    mount.env = value;
  },
};

function readField(state: State, field: Field): void {
  const setter = Object.hasOwn(setters, field.key) ? setters[field.key] : undefined;
  if (setter === undefined)
    throw invalid(`unexpected key '${field.key}' in '${field.field}'${suggestion(field.key, keys)}`);
  setter(state, field);
}

function setSource({ mount }: State, { value }: Field): void {
  mount.source = value;
}

function setTarget({ mount }: State, { value }: Field): void {
  mount.target = value;
}

function bool({ key, value }: Field): boolean {
  const read = parseBool(value);
  if (read === undefined) throw invalid(`invalid value for ${key}: ${value}`);
  return read;
}

function requirable(mount: RunMount, key: string, value: true | (() => boolean)): boolean {
  if (mount.type !== "secret" && mount.type !== "ssh")
    throw invalid(`unexpected key '${key}' for mount type '${mount.type}'`);
  return value === true ? true : value();
}

function oneOf<T extends string>(allowed: readonly T[], value: string, what: string): T {
  const lower = value.toLowerCase();
  const found = allowed.find((item) => item === lower);
  if (found === undefined) throw invalid(`unsupported ${what} ${quote(value)}${suggestion(value, allowed)}`);
  return found;
}

function unsigned(value: string, base: 8 | 10, what: string): number {
  const number = (base === 8 ? /^[0-7]+$/ : /^[0-9]+$/).test(value) ? Number.parseInt(value, base) : Number.NaN;
  if (!(number <= 0xffffffff)) throw invalid(`invalid value ${value} for ${what}`);
  return number;
}

function checkOwnership(mount: RunMount): void {
  if (mount.type === "secret" || mount.type === "ssh" || mount.type === "cache") return;
  for (const key of ["mode", "uid", "gid"] as const)
    if (mount[key] !== undefined) throw invalid(`${key} not allowed for ${quote(mount.type)} type mounts`);
}

function checkSecret(mount: RunMount): void {
  if (mount.from !== "") throw invalid("secret mount should not have a from");
  if (mount.sharing !== "") throw invalid("secret mount should not define sharing");
  if (mount.source === "" && mount.target === "" && mount.id === "")
    throw invalid("invalid secret mount. one of source, target required");
  if (mount.source !== "" && mount.id !== "") throw invalid("both source and id can't be set");
}
