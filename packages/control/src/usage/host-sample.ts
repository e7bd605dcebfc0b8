import { readFileSync } from "node:fs";
import type { Pressure, PressureValues, SystemSample } from "@buildkit-ts/provenance";

/** Ticks of `/proc/stat` in a second; the kernel's interface has this value on all machines that Node runs on. */
const ticksPerSecond = 100;

const cpuFields = [
  "user",
  "nice",
  "system",
  "idle",
  "iowait",
  "irq",
  "softirq",
  "steal",
  "guest",
  "guestNice",
] as const;

const processFields = { ctxt: "contextSwitches", processes: "processCreated", procs_running: "processesRunning" };

/** Names in `/proc/meminfo`, in the order of the sample. */
const memoryFields = {
  MemTotal: "total",
  MemFree: "free",
  MemAvailable: "available",
  Buffers: "buffers",
  Cached: "cached",
  Active: "active",
  Inactive: "inactive",
  SwapTotal: "swap",
  Dirty: "dirty",
  Writeback: "writeback",
  Slab: "slab",
};

/** Reads what the whole machine does: CPU times in seconds since boot, memory in KiB, pressure where the kernel tells it. */
export function readHostSample(
  now: number,
  options: { readonly signal: AbortSignal; readonly directory?: string },
): SystemSample {
  const { signal, directory = "/proc" } = options;
  signal.throwIfAborted();
  // The kernel answers from memory, in 0.3 ms for all; every build waits for its last sample, and the thread pool takes
  // twenty-five calls for it.
  const read: ReadText = (name) => readFileSync(`${directory}/${name}`, "utf8");
  const [stat, memory] = [read("stat"), read("meminfo")];
  const [cpu, memoryPressure, io] = ["cpu", "memory", "io"].map((name) => readPressure(name, read));
  return {
    timestamp: new Date(now).toISOString(),
    cpuStat: parseCpu(stat),
    procStat: pick(stat, processFields, " "),
    memoryStat: pick(memory, memoryFields, ":"),
    ...(cpu !== undefined && { cpuPressure: cpu }),
    ...(memoryPressure !== undefined && { memoryPressure }),
    ...(io !== undefined && { ioPressure: io }),
  };
}

type ReadText = (name: string) => string;

function readPressure(name: string, read: ReadText): Pressure | undefined {
  try {
    return parsePressure(read(`pressure/${name}`));
  } catch (error) {
    // Kernels without pressure accounting have no such files, or none that can be read.
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "EOPNOTSUPP" || code === "ENOTSUP") return undefined;
    throw error;
  }
}

function parseCpu(stat: string): Record<string, number> {
  const [, line = ""] = /^cpu +(.*)$/m.exec(stat) ?? [];
  const ticks = line.split(" ").map(Number);
  return Object.fromEntries(cpuFields.map((name, index) => [name, (ticks[index] ?? 0) / ticksPerSecond]));
}

/** The numbers of lines that begin with some names. */
function pick(text: string, names: Readonly<Record<string, string>>, separator: string): Record<string, number> {
  const values = new Map(
    text.split("\n").map((line) => {
      const at = line.indexOf(separator);
      return [line.slice(0, at), Number.parseInt(line.slice(at + 1), 10)] as const;
    }),
  );
  const found = Object.entries(names).map(([name, member]) => [member, values.get(name)] as const);
  return Object.fromEntries(found.flatMap(([member, value]) => (value === undefined ? [] : [[member, value]])));
}

/** Reads a file of pressure stall information (`Documentation/accounting/psi.rst`). */
export function parsePressure(text: string): Pressure {
  const line = (kind: string): PressureValues | null => {
    const [, rest] = new RegExp(`^${kind} (.*)$`, "m").exec(text) ?? [];
    if (rest === undefined) return null;
    const values = new Map(rest.split(" ").map((field) => field.split("=", 2) as [string, string]));
    const number = (name: string): number => Number(values.get(name) ?? 0);
    return { avg10: number("avg10"), avg60: number("avg60"), avg300: number("avg300"), total: number("total") };
  };
  return { some: line("some"), full: line("full") };
}
