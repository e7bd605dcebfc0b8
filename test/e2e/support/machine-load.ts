import { readFileSync } from "node:fs";

/** How much of this machine others used since it was made: whether a time that was measured says something. */
export class MachineLoad {
  readonly #from = readTicks();

  /** @param ownCpuMs What the measured processes have computed. @returns The others' share of all processors, from 0 to 1. */
  othersShare(ownCpuMs: number): number {
    const now = readTicks();
    const all = now.all - this.#from.all;
    const msPerTick = 10;
    const others = all - (now.idle - this.#from.idle) - ownCpuMs / msPerTick;
    return all === 0 ? 0 : Math.max(0, others / all);
  }
}

function readTicks(): { readonly all: number; readonly idle: number } {
  const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n", 1);
  // What guests use is part of what users use.
  const ticks = line.split(/\s+/).slice(1, 9).map(Number);
  const [, , , idle = 0, waiting = 0] = ticks;
  return { all: ticks.reduce((sum, count) => sum + count, 0), idle: idle + waiting };
}
