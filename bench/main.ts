// `npm run bench -- --peer ADDRESS`: asks this daemon and another one for the same work in turn and prints the ratios.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { prunePlanTime } from "@buildkit-ts/cache/testing";
import { connectClient } from "./client.ts";
import { ContenderTimeout, compare, type Measurement } from "./compare.ts";
import { type LocalRegistry, startLocalRegistry } from "./local-registry.ts";
import { startOwnDaemon } from "./own-daemon.ts";
import { findListener, readUsage } from "./process-usage.ts";
import { measureRestingMemory } from "./resting-memory.ts";
import type { Spread } from "./statistics.ts";
import type { Contender } from "./workload.ts";
import { graphWorkloads } from "./workloads/graphs.ts";
import { identicalBuildsWorkload } from "./workloads/identical-builds.ts";
import { largeDataWorkloads } from "./workloads/large-data.ts";
import { manyFilesWorkloads } from "./workloads/many-files.ts";
import { recordLookupsWorkload } from "./workloads/record-lookups.ts";
import { stepWorkloads, writeNoOpContext } from "./workloads/steps.ts";

const usage = `usage: npm run bench -- --peer ADDRESS [--client buildctl|docker-buildx] [--only NAME] [--runs N] [--vertices N] [--limit SECONDS] [--directory DIR]
NAME is a part of a workload's name, or "resting memory", or "prune plan", which needs no peer; graphs have 10,000 vertices unless said otherwise.
What one of the daemons does not end within the limit, 300 s, ends the comparison: it may go on working, so start it again.
Compares this daemon (of the folder in BUILDKIT_TS_BIN, else of the source tree) with the one that listens at ADDRESS.
`;

const { values } = parseArgs({
  options: {
    peer: { type: "string" },
    client: { type: "string", default: "buildctl" },
    only: { type: "string" },
    runs: { type: "string", default: "5" },
    vertices: { type: "string", default: "10000" },
    limit: { type: "string", default: "300" },
    directory: { type: "string", default: tmpdir() },
  },
});

if (values.only === "prune plan") printPrunePlans();
else if (values.peer === undefined) {
  process.stderr.write(usage);
  process.exitCode = 2;
} else {
  await main(values.peer);
}

async function main(peer: string): Promise<void> {
  const directory = mkdtempSync(join(values.directory, "buildkit-bench-"));
  await using resources = new AsyncDisposableStack();
  resources.defer(() => rmSync(directory, { recursive: true, force: true }));
  const own = resources.use(await startOwnDaemon(join(directory, "daemon")));
  const contenders = [
    await meet("ours", own.address, join(directory, "ours")),
    await meet("peer", peer, join(directory, "peer")),
  ];
  const idle = contenders.map(({ name, pid }) => `${name} ${readUsage(pid).residentMiB.toFixed(0)} MiB`).join(", ");
  print(`listening after ${own.startMs.toFixed(0)} ms; idle memory: ${idle}`);
  print("min / median / max; CPU is that of the daemon and its steps");
  let registry: Promise<LocalRegistry> | undefined;
  const openRegistry = async (): Promise<LocalRegistry> => {
    registry ??= startLocalRegistry(join(directory, "registry")).then((started) => resources.use(started));
    return await registry;
  };
  const solvesDefinitions = contenders.every(({ client }) => client.solvesDefinitions);
  const all = [
    ...(await stepWorkloads()),
    await identicalBuildsWorkload(),
    ...(solvesDefinitions ? [recordLookupsWorkload(1000), ...graphWorkloads(1000)] : []),
    ...(solvesDefinitions ? graphWorkloads(Number(values.vertices)) : []),
    ...manyFilesWorkloads(8000),
    ...manyFilesWorkloads(100_000),
    ...largeDataWorkloads(openRegistry),
  ];
  for (const workload of all.filter(({ name }) => isWanted(name))) {
    try {
      printResults(workload.name, await compare(workload, contenders, Number(values.runs)));
    } catch (error) {
      if (!(error instanceof ContenderTimeout)) throw error;
      print(`${workload.name}: ${error.contender} did not end within ${values.limit} s`);
      return;
    }
  }
  if (isWanted("resting memory")) for (const contender of contenders) await printRestingMemory(contender);
}

/** What it costs to decide what goes; for 10,000 it took 20 seconds when all was ranked anew for each of them. */
function printPrunePlans(): void {
  for (const count of [1000, 10_000, 100_000]) {
    const ms = Math.min(...Array.from({ length: Number(values.runs) }, () => prunePlanTime(count)));
    print(`prune plan of ${count} records: ${(ms * 1000).toFixed(1)} µs a record`);
  }
}

function isWanted(name: string): boolean {
  return values.only === undefined || name.includes(values.only);
}

async function printRestingMemory(contender: Contender): Promise<void> {
  const context = await writeNoOpContext(contender);
  const resident = await measureRestingMemory(contender, { context, builds: [0, 50, 500] });
  const texts = [...resident].map(([builds, mebibytes]) => `${mebibytes.toFixed(0)} MiB after ${builds} builds`);
  print(`resting memory, ${contender.name}: ${texts.join(", ")}`);
}

async function meet(name: Contender["name"], address: string, directory: string): Promise<Contender> {
  mkdirSync(directory, { recursive: true });
  const client = await connectClient(values.client, address, { directory, limitMs: Number(values.limit) * 1000 });
  return { name, client, pid: findListener(address), directory };
}

function printResults(name: string, results: ReadonlyMap<Contender["name"], Measurement>): void {
  const ours = results.get("ours");
  const peer = results.get("peer");
  if (ours === undefined || peer === undefined) return;
  const wall = ours.seconds.median / peer.seconds.median;
  const cpu = ours.cpuSeconds.median / peer.cpuSeconds.median;
  print(
    `${name}: ${wall.toFixed(2)} (CPU ${cpu.toFixed(2)}, memory ${(ours.residentMiB / peer.residentMiB).toFixed(2)})`,
  );
  print(`  ours ${formatMeasurement(ours)}`);
  print(`  peer ${formatMeasurement(peer)}; load ${loadavg()[0]?.toFixed(1)}`);
}

function formatMeasurement({ seconds, cpuSeconds, residentMiB }: Measurement): string {
  return `${formatSpread(seconds)} s; CPU ${formatSpread(cpuSeconds)} s; ${residentMiB.toFixed(0)} MiB`;
}

function formatSpread({ min, median, max }: Spread): string {
  return [min, median, max].map((value) => value.toFixed(2)).join(" / ");
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
