import { readFileSync } from "node:fs";

/** A line of `/proc/<pid>/mountinfo`. */
export interface MountInfo {
  readonly id: number;
  readonly parentId: number;
  readonly device: string;
  /** What of the file system is mounted: `/`, or the directory of a bind mount. */
  readonly root: string;
  readonly mountPoint: string;
  readonly options: readonly string[];
  /** Such as `shared:2`. */
  readonly propagation: readonly string[];
  readonly type: string;
  readonly source: string;
  readonly superOptions: readonly string[];
}

/** What is mounted in this process's mount namespace, in the order of mounting. */
export function readMountInfo(): MountInfo[] {
  return parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
}

/** Lines that have not the form are left out. */
export function parseMountInfo(text: string): MountInfo[] {
  const mounts: MountInfo[] = [];
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    const [id, parentId, device, root, mountPoint, options] = fields;
    const separator = fields.indexOf("-", 6);
    if (separator < 0 || root === undefined || mountPoint === undefined) continue;
    const [type = "", source = "", superOptions = ""] = fields.slice(separator + 1);
    mounts.push({
      id: Number(id),
      parentId: Number(parentId),
      device: device ?? "",
      root: unescapeOctal(root),
      mountPoint: unescapeOctal(mountPoint),
      options: (options ?? "").split(","),
      propagation: fields.slice(6, separator),
      type,
      source: unescapeOctal(source),
      superOptions: superOptions.split(","),
    });
  }
  return mounts;
}

// The kernel escapes space, tab, newline and backslash byte by byte.
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_match, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
