import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { ownedBySuite } from "../e2e/support/owned-by-suite.ts";
import { SeededRandom } from "../e2e/support/seeded-random.ts";
import type { Fault, ProxiedRequest } from "./fault-proxy.ts";
import { applies, lastingFaults, passingFaults, runCell } from "./fault-table.ts";
import { FaultWorld } from "./fault-world.ts";
import { operations } from "./operations.ts";
import { RandomBuilds } from "./random-builds.ts";
import { nameOfFault, randomFaults } from "./random-faults.ts";

const isNightly = process.env["NIGHTLY"] === "1";
const minutes = isNightly ? 30 : 1;
/** `npm run faults` has the whole table; these are the cells that found something, one for each operation. */
const sample = new Set([
  "every first request reset × git",
  "every first answer cut short × pull",
  "503 with Retry-After at first × push",
  "every first answer with a wrong byte × cache import",
  "tokens good for 2 requests × cache export",
  "every first answer cut short × http",
  "every first answer cut short × context",
  "403 always × pull",
  "wrong bytes always × pull",
]);

suite("servers that fail", { timeout: (minutes + 10) * 60_000 }, () => {
  const owned = ownedBySuite();
  let world: FaultWorld;
  before(async () => {
    world = owned.use(await FaultWorld.open());
  });
  for (const row of [...passingFaults, ...lastingFaults]) {
    for (const operation of operations) {
      const name = `${row.name} × ${operation.name}`;
      if (!applies(row, operation) || !(isNightly || sample.has(name))) continue;
      const passes = passingFaults.includes(row);
      test(`${name}: ${passes ? "is got over" : "is told"}`, async () => {
        const cell = await runCell(world, row, operation);
        if (passes) assert.ok(cell.ok, cell.text);
        else if (!cell.ok) assert.match(cell.text, /403|500|digest|the build went on/);
      });
    }
  }

  test("an upload that breaks is done all the same, and a download is continued where it broke", async () => {
    world.calm();
    const isUpload = ({ method, path }: ProxiedRequest): boolean =>
      method === "PUT" && path.includes("/blobs/uploads/");
    const name = `${world.registry.host}/${world.fresh("continued")}:v1`;
    world.registry.use((request) => (isUpload(request) && request.repeats === 0 ? { kind: "half sent" } : undefined));
    const noise = "FROM scratch\nCOPY noise /\n";
    const pushed = await world.build(noise, [`--output=type=image,push=true,name=${name}`]);
    assert.equal(pushed.code, 0, pushed.output);
    assert.ok(world.registry.faults > 0);
    await world.forget();
    const isBlob = ({ method, path }: ProxiedRequest): boolean => method === "GET" && path.includes("/blobs/");
    world.registry.use((request) => (isBlob(request) && request.repeats === 0 ? { kind: "truncated" } : undefined));
    const pulled = await world.build(`FROM ${name}\nCOPY file /\n`, [
      `--output=type=local,dest=${join(world.folder, "pulled")}`,
    ]);
    assert.equal(pulled.code, 0, pulled.output);
    assert.match(world.registry.continued.join("\n"), /^GET bytes=[1-9]\d*-$/m);
    const [sent, received] = [world.noise, readFileSync(join(world.folder, "pulled/noise"))];
    assert.ok(sent.equals(received));
  });

  test(`every build succeeds for ${minutes} minutes while 2 % of all requests fail`, async (t) => {
    const seed = Number(process.env["FAULT_SEED"] ?? Date.now() % 1_000_000);
    const seen = new Map<string, number>();
    const onRequest = (fault: Fault | undefined): void => {
      const name = fault === undefined ? "none" : nameOfFault(fault);
      seen.set(name, (seen.get(name) ?? 0) + 1);
    };
    const plan = randomFaults(0.02, { random: new SeededRandom(seed), onRequest });
    world.calm();
    await using random = await RandomBuilds.open(world);
    // Registries' tokens end now and then, too.
    world.registry.use(plan, { tokens: { requests: 25 } });
    for (const proxy of [world.git, world.files]) proxy.use(plan);
    const until = performance.now() + minutes * 60_000;
    const work = async (): Promise<void> => {
      while (performance.now() < until && random.failures.length < 10) await random.round();
    };
    const ends = await Promise.allSettled([work(), work()]);
    const ended = world.registry.endedTokens;
    world.calm();
    const requests = [...seen.values()].reduce((sum, count) => sum + count, 0);
    const share = (requests - (seen.get("none") ?? 0)) / requests;
    const kinds = JSON.stringify(Object.fromEntries([...seen].toSorted()));
    t.diagnostic(
      `${random.builds} builds, ${requests} requests, ${(100 * share).toFixed(2)} % broken with seed ${seed}, ` +
        `${ended} tokens ended; requests by fault: ${kinds}`,
    );
    assert.deepEqual(random.failures, []);
    for (const end of ends) if (end.status === "rejected") throw end.reason;
    assert.ok(random.builds > 2 && requests > 20 * random.builds);
  });
});
