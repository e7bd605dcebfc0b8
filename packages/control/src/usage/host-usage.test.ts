import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { Clock } from "@buildkit-ts/async";
import { parsePressure, readHostSample } from "./host-sample.ts";
import { HostUsage } from "./host-usage.ts";

const { signal } = new AbortController();

/** A clock whose sleeps end when time is moved past them. */
class ManualClock implements Clock {
  #now = 0;
  readonly #sleepers = new Set<{ readonly until: number; readonly wake: () => void }>();

  now(): number {
    return this.#now;
  }

  async sleep(ms: number, options: { readonly signal: AbortSignal }): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const sleeper = { until: this.#now + ms, wake: resolve };
    this.#sleepers.add(sleeper);
    options.signal.addEventListener("abort", () => reject(options.signal.reason as Error), { once: true });
    await promise;
    this.#sleepers.delete(sleeper);
  }

  async advance(ms: number): Promise<void> {
    this.#now += ms;
    for (const { until, wake } of this.#sleepers) if (until <= this.#now) wake();
    await setImmediate();
  }
}

const read = (now: number): { readonly timestamp: string } => ({ timestamp: String(now) });

test("HostUsage looks every two seconds, less often in a long build, and once more when it is asked", async () => {
  const clock = new ManualClock();
  await using usage = new HostUsage({ clock, read });
  assert.deepEqual(usage.samples({ signal }), [{ timestamp: "0" }]);
  await clock.advance(2000);
  await clock.advance(1000);
  assert.deepEqual(usage.samples({ signal }), [{ timestamp: "2000" }, { timestamp: "3000" }]);
  for (let seconds = 3; seconds < 3600; seconds++) await clock.advance(1000);
  const samples = usage.samples({ signal }) ?? [];
  assert.ok(samples.length <= 21 && samples.length > 5, String(samples.length));
  assert.equal(samples.at(-1)?.timestamp, "3600000");
});

test("HostUsage has nothing to say where the machine does not tell, and fails nothing", async () => {
  const clock = new ManualClock();
  await using usage = new HostUsage({
    clock,
    read: () => {
      throw new Error("no /proc");
    },
  });
  await clock.advance(2000);
  assert.equal(usage.samples({ signal }), undefined);
});

test("readHostSample() reads the kernel's files, and leaves out what it does not know", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "proc-"));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(
    join(directory, "stat"),
    "cpu  100 20 300 4000 5 6 7 8 9 10\ncpu0 1 1\nctxt 77\nprocesses 8\nprocs_running 2\n",
  );
  writeFileSync(join(directory, "meminfo"), "MemTotal:  1000 kB\nMemFree: 20 kB\nSwapTotal: 5 kB\n");
  const sample = readHostSample(0, { signal, directory });
  assert.deepEqual(sample, {
    timestamp: "1970-01-01T00:00:00.000Z",
    cpuStat: {
      user: 1,
      nice: 0.2,
      system: 3,
      idle: 40,
      iowait: 0.05,
      irq: 0.06,
      softirq: 0.07,
      steal: 0.08,
      guest: 0.09,
      guestNice: 0.1,
    },
    procStat: { contextSwitches: 77, processCreated: 8, processesRunning: 2 },
    memoryStat: { total: 1000, free: 20, swap: 5 },
  });
  mkdirSync(join(directory, "pressure"));
  writeFileSync(join(directory, "pressure/cpu"), "some avg10=1.50 avg60=0.20 avg300=0.00 total=123\n");
  const pressed = readHostSample(0, { signal, directory });
  assert.deepEqual(pressed.cpuPressure, { some: { avg10: 1.5, avg60: 0.2, avg300: 0, total: 123 }, full: null });
});

test("readHostSample() of this machine adds up", async () => {
  const { memoryStat, procStat } = readHostSample(Date.now(), { signal });
  assert.ok(Number(memoryStat?.["total"]) > Number(memoryStat?.["free"]));
  assert.ok(Number(procStat?.["processCreated"]) > 0);
});

test("parsePressure() reads both lines", () => {
  const line = "avg10=0.00 avg60=0.00 avg300=0.00 total=7";
  const { some, full } = parsePressure(`some ${line}\nfull ${line}\n`);
  assert.equal(some?.total, 7);
  assert.deepEqual(full, some);
});
