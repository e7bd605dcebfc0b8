import { statfsSync } from "node:fs";
import { BuildError } from "@buildkit-ts/errdefs";
import { parseDuration } from "@buildkit-ts/gotext";

/**
 * Reads a Go duration (`48h`, `1m30s`) or a whole number of seconds; gives milliseconds.
 *
 * @throws {BuildError} `invalid_argument`, naming the setting.
 */
export function durationMs(value: string | number, setting: string): number {
  if (typeof value === "number" || /^\d+$/.test(value)) return Number(value) * 1000;
  const { nanoseconds } = parseDuration(value);
  if (nanoseconds === undefined || nanoseconds < 0) {
    throw new BuildError("invalid_argument", `Cannot read setting "${setting} = ${value}": not a duration such as 48h`);
  }
  return nanoseconds / 1e6;
}

const sizeUnits: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/** How big the file system under `root` is; undefined where the system does not say. */
export function diskSize(root: string): number | undefined {
  const { blocks, bsize } = statfsSync(root);
  return blocks > 0 ? blocks * bsize : undefined;
}

/** Percentages round up to whole gigabytes, so that they read well; an unknown disk counts as 2 GB. */
export function percentOfDisk(percent: number, root: string): number {
  const size = diskSize(root);
  return size === undefined ? 2e9 : Math.ceil((size * percent) / 100 / 1e9) * 1e9;
}

/**
 * Reads bytes (`512`, `"512MB"`, `"2Gi"`) or a share of the disk that holds `root` (`"10%"`).
 *
 * @throws {BuildError} `invalid_argument`, naming the setting.
 */
export function parseDiskSpace(value: string | number, setting: string, root: string): number {
  if (typeof value === "number") return value;
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(value)?.[1];
  if (percent !== undefined) return percentOfDisk(Number(percent), root);
  const [, amount, unit = ""] = /^(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?$/i.exec(value.trim()) ?? [];
  if (amount === undefined) {
    throw new BuildError(
      "invalid_argument",
      `Cannot read setting "${setting} = ${value}": not a size such as 10GB or 20%`,
    );
  }
  return Math.round(Number(amount) * (sizeUnits[unit.toLowerCase()] ?? 1));
}
