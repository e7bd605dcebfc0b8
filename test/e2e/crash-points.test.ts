import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type BuildPhase, buildInPhases, buildPhases } from "./support/build-phases.ts";
import { CrashScene } from "./support/crash-scene.ts";
import { temporaryFolder } from "./support/processes.ts";
import { SeededRandom } from "./support/seeded-random.ts";
import { differences, fingerprint } from "./support/snapshot-fingerprint.ts";

const points = Number(process.env["CRASH_POINTS"] ?? (process.env["NIGHTLY"] === "1" ? 200 : 10));
const firstSeed = Number(process.env["CRASH_SEED"] ?? 1);
/** How long after the first sign of a phase the daemon is killed, at most. */
const longestDelayMs = 250;
/** Of computing, which takes less than half of it on a machine that has nothing else to do. */
const startLimitMs = 5000;

suite("a daemon that is killed at any point of a build", () => {
  test(`starts clean, keeps what it had, and builds, at ${points} points`, { timeout: points * 60_000 }, async (t) => {
    using folder = temporaryFolder("crash-points");
    await using scene = await CrashScene.open(folder.path);
    const undisturbed = await scene.prepareBuild("undisturbed");
    assert.equal(await buildInPhases(scene.daemon, undisturbed, () => undefined), undefined);
    const expected = await scene.pushedFiles("undisturbed");
    assertBuilt(expected);
    const starts: number[] = [];
    const reached = new Map<BuildPhase, number>();
    for (let index = 0; index < points; index += 1) {
      const seed = firstSeed + index;
      const { phase, startMs } = await crashOnce(scene, seed, [...expected.keys()]).catch((error: unknown) => {
        t.diagnostic(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`);
        throw new Error(`seed ${seed} failed; the daemon said:\n${scene.daemon.log().slice(-4000)}`, { cause: error });
      });
      starts.push(startMs);
      reached.set(phase, (reached.get(phase) ?? 0) + 1);
    }
    starts.sort((a, b) => a - b);
    const percentile = (part: number): string => (starts[Math.floor((starts.length - 1) * part)] ?? 0).toFixed(0);
    t.diagnostic(
      `starts: median ${percentile(0.5)} ms, 95th percentile ${percentile(0.95)} ms, worst ${percentile(1)} ms`,
    );
    t.diagnostic(`killed in: ${[...reached].map(([phase, count]) => `${phase} ${count}`).join(", ")}`);
  });
});

/** One build that is cut short, and all that must hold afterwards. */
async function crashOnce(
  scene: CrashScene,
  seed: number,
  paths: readonly string[],
): Promise<{ phase: BuildPhase; startMs: number }> {
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
  const building = buildInPhases(daemon, request, (seen) => {
    if (isReached || (seen !== phase && seen !== "end")) return;
    isReached = true;
    if (prunes) daemon.buildctl(["prune", "--all"]).then(() => undefined, killed.reject);
    delay(seen === "end" ? 0 : delayMs)
      .then(async () => await daemon.kill())
      .then(killed.resolve, killed.reject);
  });
  await killed.promise;
  await building;
  await daemon.start();
  const startMs = daemon.cpuMs;
  assert.ok(startMs < startLimitMs, `it took ${startMs} ms to start`);
  assert.deepEqual(await scene.leftBehind(), []);
  assert.deepEqual(differences(before, fingerprint(daemon.root)), [], "what was committed is as it was");
  const failure = await buildInPhases(daemon, request, () => undefined);
  assert.equal(failure, undefined, `the build fails after the crash: ${String(failure)}`);
  const files = await scene.pushedFiles(name);
  assert.deepEqual([...files.keys()].toSorted(), paths.toSorted());
  assertBuilt(files);
  return { phase, startMs };
}

/** All copies of each file are the same. */
function assertBuilt(files: ReadonlyMap<string, string>): void {
  const groups = [
    ["/all/hard", "/all/made/1", "/all/data/1", "/linked/1"],
    ["/big", "/all/made/big", "/all/data/big"],
    ...Array.from({ length: 20 }, (_, index) => [`/all/made/d/${2 * index}`, `/linked/d/${2 * index}`]),
  ];
  for (const group of groups) {
    const digests = group.map((path) => files.get(path) ?? `no ${path}`);
    assert.deepEqual(
      digests,
      digests.map(() => digests[0]),
      group.join(" "),
    );
  }
}
