import { readUsage } from "./process-usage.ts";
import { TimeLimitError } from "./run-command.ts";
import { type Spread, spreadOf } from "./statistics.ts";
import type { Contender, Workload } from "./workload.ts";

/** What one contender needed for a workload. */
export interface Measurement {
  readonly seconds: Spread;
  /** Of the daemon and the steps it has waited for, a run. */
  readonly cpuSeconds: Spread;
  readonly residentMiB: number;
}

/** One of the two did not end what it was asked for in time. */
export class ContenderTimeout extends Error {
  override readonly name = "ContenderTimeout";
  readonly contender: Contender["name"];

  constructor(contender: Contender["name"], cause: TimeLimitError) {
    super(`${contender}: ${cause.message}`, { cause });
    this.contender = contender;
  }
}

/** Runs the workload alternately, so that a change in the machine's load meets both. */
export async function compare(
  workload: Workload,
  contenders: readonly Contender[],
  runs: number,
): Promise<Map<Contender["name"], Measurement>> {
  const samples = contenders.map((contender) => ({ contender, seconds: [] as number[], cpu: [] as number[] }));
  for (const { contender } of samples) await inTime(contender, async () => await workload.setup(contender));
  for (let run = 0; run < runs; run++) {
    // The first of two may find the disk's queue empty: take turns.
    for (const { contender, seconds, cpu } of run % 2 === 0 ? samples : samples.toReversed()) {
      await workload.prepare?.(contender, run);
      const before = readUsage(contender.pid).cpuSeconds;
      const started = performance.now();
      await inTime(contender, async () => await workload.run(contender, run));
      seconds.push((performance.now() - started) / 1000);
      cpu.push(readUsage(contender.pid).cpuSeconds - before);
    }
  }
  const results = new Map<Contender["name"], Measurement>();
  for (const { contender, seconds, cpu } of samples) {
    const { residentMiB } = readUsage(contender.pid);
    results.set(contender.name, { seconds: spreadOf(seconds), cpuSeconds: spreadOf(cpu), residentMiB });
    await workload.check?.(contender, runs - 1);
  }
  return results;
}

async function inTime(contender: Contender, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw error instanceof TimeLimitError ? new ContenderTimeout(contender.name, error) : error;
  }
}
