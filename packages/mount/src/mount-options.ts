import {
  MS_BIND,
  MS_DIRSYNC,
  MS_MANDLOCK,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_RELATIME,
  MS_REMOUNT,
  MS_SHARED,
  MS_SLAVE,
  MS_STRICTATIME,
  MS_SYNCHRONOUS,
  MS_UNBINDABLE,
} from "@buildkit-ts/sys";

const flagsByOption = new Map<string, { readonly set?: number; readonly clear?: number }>([
  ["async", { clear: MS_SYNCHRONOUS }],
  ["atime", { clear: MS_NOATIME }],
  ["bind", { set: MS_BIND }],
  ["defaults", {}],
  ["dev", { clear: MS_NODEV }],
  ["diratime", { clear: MS_NODIRATIME }],
  ["dirsync", { set: MS_DIRSYNC }],
  ["exec", { clear: MS_NOEXEC }],
  ["mand", { set: MS_MANDLOCK }],
  ["noatime", { set: MS_NOATIME }],
  ["nodev", { set: MS_NODEV }],
  ["nodiratime", { set: MS_NODIRATIME }],
  ["noexec", { set: MS_NOEXEC }],
  ["nomand", { clear: MS_MANDLOCK }],
  ["norelatime", { clear: MS_RELATIME }],
  ["nostrictatime", { clear: MS_STRICTATIME }],
  ["nosuid", { set: MS_NOSUID }],
  ["private", { set: MS_PRIVATE }],
  ["rbind", { set: MS_BIND | MS_REC }],
  ["relatime", { set: MS_RELATIME }],
  ["remount", { set: MS_REMOUNT }],
  ["ro", { set: MS_RDONLY }],
  ["rprivate", { set: MS_PRIVATE | MS_REC }],
  ["rshared", { set: MS_SHARED | MS_REC }],
  ["rslave", { set: MS_SLAVE | MS_REC }],
  ["runbindable", { set: MS_UNBINDABLE | MS_REC }],
  ["rw", { clear: MS_RDONLY }],
  ["shared", { set: MS_SHARED }],
  ["slave", { set: MS_SLAVE }],
  ["strictatime", { set: MS_STRICTATIME }],
  ["suid", { clear: MS_NOSUID }],
  ["sync", { set: MS_SYNCHRONOUS }],
  ["unbindable", { set: MS_UNBINDABLE }],
]);

/** Mount options as the kernel takes them. */
export interface ParsedMountOptions {
  /** `MS_…` bits. */
  readonly flags: number;
  /** What is meant for the file system: `key=value`, or a key alone. */
  readonly data: readonly string[];
}

/** Separates the options that every mount has from those of its file system, as `mount(8)` does. */
export function parseMountOptions(options: readonly string[]): ParsedMountOptions {
  let flags = 0;
  const data: string[] = [];
  for (const option of options) {
    const known = flagsByOption.get(option);
    if (known === undefined) data.push(option);
    else flags = (flags | (known.set ?? 0)) & ~(known.clear ?? 0);
  }
  return { flags, data };
}

/** A path as a value of overlay's options, where `:` separates, `,` ends and `\` escapes. */
export function escapeOverlayPath(path: string): string {
  return path.replace(/[\\:,]/g, (character) => `\\${character}`);
}

/** The lower directories of a `lowerdir=` option, highest first. */
export function splitLowerDirectories(value: string): string[] {
  const directories: string[] = [];
  let current = "";
  for (let index = 0; index < value.length; index += 1) {
    const character = value[index] ?? "";
    if (character === "\\" && index + 1 < value.length) {
      index += 1;
      current += value[index] ?? "";
    } else if (character === ":") {
      directories.push(current);
      current = "";
    } else {
      current += character;
    }
  }
  directories.push(current);
  return directories;
}

/** A single path of overlay's options without its escapes. */
export function unescapeOverlayPath(value: string): string {
  return value.replace(/\\(.)/gs, "$1");
}
