import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { BuildError } from "@buildkit-ts/errdefs";
import { type BuildPhase, buildInPhases, buildPhases } from "./support/build-phases.ts";
import { brokenPromises } from "./support/committed-state.ts";
import { CrashScene } from "./support/crash-scene.ts";
import { type BrokenCalls, breakDisk, canBreakDisk, type DiskFault, fillDisk } from "./support/disk-faults.ts";
import { FailingDisk } from "./support/failing-disk/failing-disk.ts";
import { temporaryFolder } from "./support/processes.ts";
import { SeededRandom } from "./support/seeded-random.ts";
import { differences, fingerprint } from "./support/snapshot-fingerprint.ts";

const givenPoints = process.env["FAULT_POINTS"] ?? (process.env["NIGHTLY"] === "1" ? 100 : undefined);
const firstSeed = Number(process.env["FAULT_SEED"] ?? 1);
/** How long after the first sign of a phase the disk fails, at most. */
const longestDelayMs = 250;

interface Fault {
  readonly name: string;
  readonly begin: (scene: CrashScene, random: SeededRandom) => Promise<DiskFault>;
  /** What a build that meets it says, or its step. */
  readonly said: RegExp;
  readonly skip?: string | false;
  /** The root lies on a disk that fails by itself. */
  readonly onFailingDisk?: boolean;
}

const faults: readonly Fault[] = [
  {
    name: "is full",
    begin: async ({ daemon }) => await Promise.resolve(fillDisk(daemon.root)),
    said: /no space left on device|database or disk is full/i,
  },
  {
    name: "cannot be read or written",
    begin: async ({ daemon }, random) => await breakDisk(daemon.pid, brokenCalls(random)),
    // Of the parts of its own program that a thread needs when it starts, it hears only that they cannot be found.
    skip: !canBreakDisk() && "processes cannot be traced here",
    // SQLite calls what it cannot read malformed.
    said: /input\/output error|i\/o error|\bEIO\b|cannot find module|database disk image is malformed/i,
  },
  {
    name: "fails by itself, below the kernel's file systems,",
    begin: async ({ disk }, random) => (await disk?.fail(brokenCalls(random))) ?? assert.fail("no disk can fail"),
    skip: !FailingDisk.isPossible() && "file systems cannot be served from user space here",
    onFailingDisk: true,
    // A step whose program cannot be read on is ended by SIGBUS.
    said: /input\/output error|i\/o error|\bEIO\b|exit code: 135|database disk image is malformed/i,
  },
];

function brokenCalls(random: SeededRandom): BrokenCalls {
  const kind = random.pick(["read", "write", "link", "any"] as const);
  return { kind, after: Math.floor(random.next() * 20), every: random.pick([1, 1, 3, 10]) };
}

for (const fault of faults) {
  // Each takes long where the disk is served from user space.
  const points = Number(givenPoints ?? (fault.onFailingDisk === true ? 1 : 3));
  // A seed stands for a phase as well: few points shall be of different ones.
  const stride = points < 10 ? 3 : 1;
  suite(`a daemon whose disk ${fault.name} at any point of a build`, () => {
    test(`lives, and builds when that is over, at ${points} points`, {
      timeout: points * 90_000,
      skip: fault.skip ?? false,
    }, async (t) => {
      using folder = temporaryFolder("disk-faults");
      await using scene = await CrashScene.open(folder.path, { diskMb: 256, canFail: fault.onFailingDisk === true });
      const undisturbed = await scene.prepareBuild("undisturbed");
      assert.equal(await buildInPhases(scene.daemon, undisturbed), undefined);
      const { pid } = scene.daemon;
      const paths = [...(await scene.pushedFiles("undisturbed")).keys()];
      const outcomes = new Map<string, number>();
      for (let index = 0; index < points; index += 1) {
        const seed = firstSeed + index * stride;
        const outcome = await failOnce(scene, { fault, seed, paths }).catch((error: unknown) => {
          t.diagnostic(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`);
          throw new Error(`seed ${seed} failed; the daemon said:\n${scene.daemon.log().slice(-6000)}`, {
            cause: error,
          });
        });
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        assert.equal(scene.daemon.isAlive, true);
        assert.equal(scene.daemon.pid, pid);
      }
      // What could not be removed while the disk failed is removed by the next start.
      await scene.daemon.stop();
      await scene.daemon.start();
      assert.deepEqual(scene.leftBehind(), []);
      await scene.daemon.stop();
      const check = await scene.daemon.check();
      assert.equal(check.code, 0, check.output);
      t.diagnostic([...outcomes].map(([outcome, count]) => `${outcome} ${count}`).join(", "));
    });
  });
}

/** One build during which the disk fails, and all that must hold afterwards. @returns where it failed, and how it ended. */
async function failOnce(
  scene: CrashScene,
  { fault, seed, paths }: { readonly fault: Fault; readonly seed: number; readonly paths: readonly string[] },
): Promise<string> {
  const random = new SeededRandom(seed);
  const phase = buildPhases[seed % buildPhases.length] ?? random.pick(buildPhases);
  const delayMs = random.next() * longestDelayMs;
  // Either until the build has ended, or for a moment only.
  const lastsMs = random.next() < 0.5 ? undefined : random.next() * 2 * longestDelayMs;
  const request = await scene.prepareBuild(`seed${seed}`);
  const { daemon } = scene;
  const before = fingerprint(daemon.root);
  const ended = new AbortController();
  let failing: Promise<void> | undefined;
  const onPhase = (seen: BuildPhase): void => {
    if (seen !== phase && seen !== "end") return;
    failing ??= (async () => {
      await delay(seen === "end" ? 0 : delayMs);
      await using _fault = await fault.begin(scene, random);
      // A build that has ended already meets nothing any more, but what is done after it does.
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = lastsMs === undefined ? undefined : setTimeout(resolve, lastsMs);
      if (ended.signal.aborted) setTimeout(resolve, longestDelayMs);
      else ended.signal.addEventListener("abort", () => resolve());
      await promise;
      clearTimeout(timer);
    })();
  };
  const log: string[] = [];
  const failure = await buildInPhases(daemon, request, { onPhase, onLog: (text) => log.push(text) });
  ended.abort("the build has ended");
  await failing;
  if (failure !== undefined) assert.match(`${BuildError.from(failure).message}\n${log.join("")}`, fault.said);
  await daemon.buildctlOk(["debug", "workers"]);
  const again = await buildInPhases(daemon, request);
  assert.equal(again, undefined, `the build fails when the disk works again: ${String(again)}`);
  const files = await scene.pushedFiles(`seed${seed}`);
  assert.deepEqual([...files.keys()].toSorted(), paths.toSorted());
  scene.assertWhole(files);
  assert.deepEqual(await scene.runsOnAfter(5000), []);
  assert.deepEqual(await brokenPromises(daemon.root), []);
  assert.deepEqual(differences(before, fingerprint(daemon.root)), [], "what was committed is as it was");
  return `${phase}: ${failure === undefined ? "passed" : "failed"}`;
}
