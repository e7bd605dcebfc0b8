import { type BigIntStats, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Bytes that a directory takes on the disk, as `du` counts them. What vanishes meanwhile counts nothing. */
export function allocatedBytes(path: string): number {
  const seen = new Set<bigint>();
  const walk = (entry: string): number => {
    const stat = find(() => lstatSync(entry, { bigint: true }));
    if (stat === undefined || seen.has(stat.ino)) return 0;
    seen.add(stat.ino);
    const own = Number(stat.blocks) * 512;
    if (!stat.isDirectory()) return own;
    const names = find(() => readdirSync(entry)) ?? [];
    return names.reduce((sum, name) => sum + (isMounted(stat, join(entry, name)) ? 0 : walk(join(entry, name))), own);
  };
  return walk(path);
}

/** What running steps have mounted is counted where it lies. */
function isMounted(parent: BigIntStats, path: string): boolean {
  const stat = find(() => lstatSync(path, { bigint: true }));
  return stat !== undefined && stat.dev !== parent.dev;
}

function find<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || (error as NodeJS.ErrnoException).code === "ENOTDIR")
      return undefined;
    throw error;
  }
}
