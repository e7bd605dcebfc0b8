import { formatGoJson, sortKeys } from "@buildkit-ts/gotext";
import type { TarHeader } from "@buildkit-ts/tar";

/** An entry of the table of contents, with its members in the order in which they are written. */
export interface TocEntry {
  readonly name: string;
  readonly type: string;
  readonly size?: number;
  readonly modtime?: string;
  readonly linkName?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly userName?: string;
  readonly groupName?: string;
  /** Of the member that the content begins with. */
  offset?: number;
  readonly devMajor?: number;
  readonly devMinor?: number;
  readonly xattrs?: Readonly<Record<string, string>>;
  /** Of the whole content. */
  digest?: string;
  readonly chunkOffset?: number;
  readonly chunkSize?: number;
  chunkDigest?: string;
}

const types = {
  file: "reg",
  directory: "dir",
  symlink: "symlink",
  hardlink: "hardlink",
  character: "char",
  block: "block",
  fifo: "fifo",
} as const;

/** What a tar header says, for the table of contents. */
export function tocEntryOf(header: TarHeader, names: { readonly user: string; readonly group: string }): TocEntry {
  const entry = {
    name: header.name,
    type: types[header.type],
    size: header.size,
    modtime: modificationTime(header),
    linkName: header.linkName ?? "",
    mode: header.mode,
    uid: header.uid,
    gid: header.gid,
    userName: names.user,
    groupName: names.group,
    devMajor: header.deviceMajor ?? 0,
    devMinor: header.deviceMinor ?? 0,
    xattrs: header.xattrs === undefined ? undefined : encodeXattrs(header.xattrs),
  };
  return entry as TocEntry;
}

const order = [
  "name",
  "type",
  "size",
  "modtime",
  "linkName",
  "mode",
  "uid",
  "gid",
  "userName",
  "groupName",
  "offset",
  "devMajor",
  "devMinor",
  "xattrs",
  "digest",
  "chunkOffset",
  "chunkSize",
  "chunkDigest",
] as const satisfies readonly (keyof TocEntry)[];

/** The table as the reference implementation writes it: what is zero or empty is left out. */
export function* formatToc(entries: readonly TocEntry[]): Generator<Buffer, void> {
  if (entries.length === 0) return yield Buffer.from('{\n\t"version": 1,\n\t"entries": null\n}');
  yield Buffer.from('{\n\t"version": 1,\n\t"entries": [');
  for (const [index, entry] of entries.entries()) {
    const members = order.filter((key) => key === "name" || key === "type" || !isEmpty(entry[key]));
    const json = replaceInvalid(formatGoJson(Object.fromEntries(members.map((key) => [key, entry[key]])), "\t"));
    yield Buffer.from(`${index === 0 ? "" : ","}\n\t\t${json.replaceAll("\n", "\n\t\t")}`);
  }
  yield Buffer.from("\n\t]\n}");
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === 0 || value === "";
}

function encodeXattrs(xattrs: ReadonlyMap<string, Uint8Array>): Record<string, string> {
  const encoded = [...xattrs].map(([key, value]) => [key, Buffer.from(value).toString("base64")]);
  return sortKeys(Object.fromEntries(encoded) as Record<string, string>);
}

/** JSON has no bytes that are no UTF-8; Go puts this in the place of each. */
function replaceInvalid(json: string): string {
  return json.replace(/\\(?:u(d[89a-f][0-9a-f]{2})|.)/g, (escape, surrogate) =>
    surrogate === undefined ? escape : "\\ufffd",
  );
}

function modificationTime({ mtimeSeconds, mtimeNanoseconds = 0 }: TarHeader): string {
  if (mtimeSeconds === 0) return "";
  const milliseconds = (mtimeSeconds + (mtimeNanoseconds >= 500_000_000 ? 1 : 0)) * 1000;
  // Later than any date that can be written: unknown.
  if (Math.abs(milliseconds) > 8.64e15) return "";
  return new Date(milliseconds).toISOString().replace(/^\+0*(?=\d{5})|\.000(?=Z$)/g, "");
}
