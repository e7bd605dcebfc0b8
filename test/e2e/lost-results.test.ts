import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import type { BuildRequest } from "@buildkit-ts/client";
import { type Fault, TestRegistry, type TestRequest } from "@buildkit-ts/registry/testing";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { temporaryFolder } from "./support/processes.ts";
import { executed, type Solved, solveOk } from "./support/solve.ts";

type Exports = NonNullable<BuildRequest["exports"]>;

/** Layers of RUN and of a linked COPY, of which nobody needs the bytes unless they are written somewhere. */
const dockerfile = `${shellStage}RUN head -c 16 /dev/urandom > /random
FROM scratch
COPY --from=base /random /plain
COPY --link --from=base /random /linked
`;

suite("what a remote cache promised", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("lost-results"));
  let registry: TestRegistry;
  let context: string;
  let entry: { readonly type: string; readonly attributes: Readonly<Record<string, string>> };
  let original: Buffer;
  let daemons = 0;

  const freshDaemon = async (): Promise<TestDaemon> => {
    const home = join(folder.path, `daemon-${(daemons += 1)}`);
    mkdirSync(home);
    return await TestDaemon.start(home);
  };

  before(async () => {
    registry = owned.use(await TestRegistry.start());
    context = await busyboxContext(folder.path, dockerfile);
    entry = { type: "registry", attributes: { ref: `${registry.host}/cache:it` } };
    await using daemon = await freshDaemon();
    const { path, exports } = directory();
    const cacheExports = [{ ...entry, attributes: { ...entry.attributes, mode: "max" } }];
    await solveOk(daemon, context, { exports, cacheExports });
    original = readFileSync(join(path, "plain"));
  });

  /** Whether a request asks for a layer's bytes. */
  const isLayer = ({ method, path }: TestRequest): boolean => {
    const { bytes } = registry.manifest("cache", "it") ?? assert.fail("no cache was exported");
    const { config } = JSON.parse(bytes.toString()) as { readonly config: { readonly digest: string } };
    return method === "GET" && path.includes("/cache/blobs/") && !path.includes(config.digest);
  };

  const directory = (): { readonly path: string; readonly exports: Exports } => {
    const path = join(folder.path, "out");
    rmSync(path, { recursive: true, force: true });
    return { path, exports: [{ type: "local", attributes: {}, target: { kind: "directory", path, mirror: false } }] };
  };
  const pushed = (name: string): Exports => [
    { type: "image", attributes: { name: `${registry.host}/${name}`, push: "true" } },
  ];
  const build = async (daemon: TestDaemon, exports: Exports): Promise<Solved> =>
    await solveOk(daemon, context, { exports, cacheImports: [entry] });
  const runs = (solved: Solved): string[] => executed(solved).filter((name) => /^(RUN|COPY)/.test(name));

  test("is never downloaded when it is only pushed and cached again", async () => {
    await using daemon = await freshDaemon();
    registry.requests.length = 0;
    const solved = await solveOk(daemon, context, {
      exports: pushed("again"),
      cacheImports: [entry],
      cacheExports: [{ ...entry, attributes: { ref: `${registry.host}/again:cache`, mode: "max" } }],
    });
    assert.deepEqual(runs(solved), []);
    assert.deepEqual(registry.requests.filter(isLayer), []);
  });

  const faults: readonly (readonly [what: string, fault: Fault])[] = [
    ["is gone", { kind: "status", status: 404 }],
    ["is refused", { kind: "status", status: 403 }],
    ["is damaged", { kind: "garbage", body: "x".repeat(8 << 20) }],
  ];
  for (const [what, fault] of faults) {
    test(`and then ${what} is built again inside the build that writes it out`, async () => {
      await using daemon = await freshDaemon();
      registry.fail(isLayer, fault, Number.POSITIVE_INFINITY);
      using _faults = { [Symbol.dispose]: () => registry.clearFaults() };
      const { path, exports } = directory();
      const solved = await build(daemon, exports);
      const plain = readFileSync(join(path, "plain"));
      assert.notDeepEqual(plain, original, "the random numbers are other ones");
      assert.deepEqual(plain, readFileSync(join(path, "linked")));
      assert.ok(
        solved.warnings.some((text) => text.startsWith("Cannot use cached result: ")),
        "the user was told",
      );
    });
  }

  test("and then is gone is built again inside the build that pushes it elsewhere", async () => {
    await using daemon = await freshDaemon();
    await using other = await TestRegistry.start();
    registry.fail(isLayer, { kind: "status", status: 404 }, Number.POSITIVE_INFINITY);
    using _faults = { [Symbol.dispose]: () => registry.clearFaults() };
    const solved = await build(daemon, [
      { type: "image", attributes: { name: `${other.host}/image`, push: "true", "registry.insecure": "true" } },
    ]);
    assert.ok(solved.warnings.length > 0);
    assert.notEqual(other.manifest("image", "latest"), undefined);
  });
});
