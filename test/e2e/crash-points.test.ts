import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type BuildPhase, buildInPhases, buildPhases } from "./support/build-phases.ts";
import { brokenPromises } from "./support/committed-state.ts";
import { CrashScene } from "./support/crash-scene.ts";
import { MachineLoad } from "./support/machine-load.ts";
import { temporaryFolder } from "./support/processes.ts";
import { SeededRandom } from "./support/seeded-random.ts";
import { differences, fingerprint } from "./support/snapshot-fingerprint.ts";

const isNightly = process.env["NIGHTLY"] === "1";
const points = Number(process.env["CRASH_POINTS"] ?? (isNightly ? 200 : 10));
const firstSeed = Number(process.env["CRASH_SEED"] ?? 1);
/** How long after the first sign of a phase the daemon is killed, at most. */
const longestDelayMs = 250;
/** Of computing: it says less than the time until a daemon answers, but is the same on a machine that does other things, too. */
const startCpuLimitMs = 5000;
/** Until the daemon answers, where nobody else computes meanwhile. */
const startLimitMs = 2000;
const quietShare = 0.15;

suite("a daemon that is killed at any point of a build", () => {
  test(`starts clean, keeps what it had, and builds, at ${points} points`, { timeout: points * 60_000 }, async (t) => {
    using folder = temporaryFolder("crash-points");
    await using scene = await CrashScene.open(folder.path);
    const undisturbed = await scene.prepareBuild("undisturbed");
    assert.equal(await buildInPhases(scene.daemon, undisturbed), undefined);
    const expected = await scene.pushedFiles("undisturbed");
    scene.assertWhole(expected);
    const starts: Start[] = [];
    const reached = new Map<BuildPhase, number>();
    for (let index = 0; index < points; index += 1) {
      const seed = firstSeed + index;
      const { phase, start } = await crashOnce(scene, seed, [...expected.keys()]).catch((error: unknown) => {
        t.diagnostic(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`);
        throw new Error(`seed ${seed} failed; the daemon said:\n${scene.daemon.log().slice(-4000)}`, { cause: error });
      });
      starts.push(start);
      reached.set(phase, (reached.get(phase) ?? 0) + 1);
    }
    // All that many crashes and starts have left.
    await scene.daemon.stop();
    const check = await scene.daemon.check();
    assert.equal(check.code, 0, check.output);
    t.diagnostic(`until the daemon answered: ${distribution(starts.map(({ ms }) => ms))}`);
    t.diagnostic(`it computed for: ${distribution(starts.map(({ cpuMs }) => cpuMs))}`);
    const quiet = starts.filter(({ othersShare }) => othersShare < quietShare).map(({ ms }) => ms);
    t.diagnostic(`while nobody else computed, ${quiet.length} times: ${distribution(quiet)}`);
    // Only where it is known what the machine can do.
    if (isNightly) assert.ok(quiet.every((ms) => ms < startLimitMs));
    t.diagnostic(`killed in: ${[...reached].map(([phase, count]) => `${phase} ${count}`).join(", ")}`);
  });
});

/** How long it took a killed daemon to be back, and what else happened meanwhile. */
interface Start {
  readonly ms: number;
  readonly cpuMs: number;
  readonly othersShare: number;
}

function distribution(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const percentile = (part: number): string => (sorted[Math.floor((sorted.length - 1) * part)] ?? 0).toFixed(0);
  return `median ${percentile(0.5)} ms, 95th percentile ${percentile(0.95)} ms, worst ${percentile(1)} ms`;
}

/** One build that is cut short, and all that must hold afterwards. */
async function crashOnce(
  scene: CrashScene,
  seed: number,
  paths: readonly string[],
): Promise<{ phase: BuildPhase; start: Start }> {
  const random = new SeededRandom(seed);
  const name = `seed${seed}`;
  // Which one, and how far into it, are chosen apart: most of a build's time is spent in few phases.
  const phase = buildPhases[seed % buildPhases.length] ?? random.pick(buildPhases);
  const delayMs = random.next() * longestDelayMs;
  const prunes = random.next() < 0.3;
  const request = await scene.prepareBuild(name);
  const { daemon } = scene;
  const before = fingerprint(daemon.root);
  const killed = Promise.withResolvers<void>();
  let isReached = false;
  const onPhase = (seen: BuildPhase): void => {
    if (isReached || (seen !== phase && seen !== "end")) return;
    isReached = true;
    if (prunes) daemon.buildctl(["prune", "--all"]).then(() => undefined, killed.reject);
    delay(seen === "end" ? 0 : delayMs)
      .then(async () => await daemon.kill())
      .then(killed.resolve, killed.reject);
  };
  const building = buildInPhases(daemon, request, { onPhase });
  await killed.promise;
  await building;
  const load = new MachineLoad();
  const ms = await daemon.start();
  const { cpuMs } = daemon;
  const start = { ms, cpuMs, othersShare: load.othersShare(cpuMs) };
  assert.ok(cpuMs < startCpuLimitMs, `it computed for ${cpuMs} ms to start`);
  assert.deepEqual(scene.leftBehind(), []);
  assert.deepEqual(await brokenPromises(daemon.root), []);
  assert.deepEqual(differences(before, fingerprint(daemon.root)), [], "what was committed is as it was");
  const failure = await buildInPhases(daemon, request);
  assert.equal(failure, undefined, `the build fails after the crash: ${String(failure)}`);
  const files = await scene.pushedFiles(name);
  assert.deepEqual([...files.keys()].toSorted(), paths.toSorted());
  scene.assertWhole(files);
  return { phase, start };
}
