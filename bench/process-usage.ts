import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** What a process and the children it has waited for have used. */
export interface ProcessUsage {
  readonly cpuSeconds: number;
  readonly residentMiB: number;
}

const ticksPerSecond = 100;

export function readUsage(pid: number): ProcessUsage {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name in parentheses may hold spaces; the times are the 12th to 15th fields after it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return { cpuSeconds: ticks / ticksPerSecond, residentMiB: Number(kilobytes ?? 0) / 1024 };
}

/** The process that listens on a `unix://` address. */
export function findListener(address: string): number {
  const path = address.replace(/^unix:\/\//, "");
  const inodes = readFileSync("/proc/net/unix", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[7] === path && fields[3] === "00010000")
    .map((fields) => `socket:[${fields[6]}]`);
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    if (descriptorsOf(pid).some((target) => inodes.includes(target))) return Number(pid);
  }
  throw new Error(`Cannot find the process that listens on "${address}"`);
}

function descriptorsOf(pid: string): string[] {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).map((name) => readlinkSync(`${folder}/${name}`));
  } catch {
    // The process or one of its descriptors went away meanwhile: it is not a daemon at rest.
    return [];
  }
}
