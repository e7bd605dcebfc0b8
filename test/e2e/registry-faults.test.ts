import assert from "node:assert/strict";
import { before, suite, test } from "node:test";
import type { Fault, TestRequest } from "@buildkit-ts/registry/testing";
import { busyboxContext, shellLayer } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { leftovers } from "./support/leftovers.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { temporaryFolder } from "./support/processes.ts";
import { linesOf, type Solved, solveDockerfile, solveOk } from "./support/solve.ts";
import { StallingRegistry } from "./support/stalling-registry.ts";

suite("a registry", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("registry-faults"));
  let daemon: TestDaemon;
  let registry: StallingRegistry;
  let layer: Buffer;
  let images = 0;

  before(async () => {
    registry = owned.use(await StallingRegistry.start());
    daemon = owned.use(await TestDaemon.start(folder.path));
    layer = await shellLayer(folder.path);
  });

  /** An image that the daemon has not seen. */
  const newImage = (): string => {
    images += 1;
    return registry.putImage(`image${images}`, Buffer.concat([layer, Buffer.alloc(512 * images)]));
  };
  const build = async (image: string): Promise<Solved> =>
    await solveDockerfile(
      daemon,
      await busyboxContext(folder.path, `# first\nFROM ${image}\nRUN echo built ${image}\n`),
    );
  const matching =
    (pattern: RegExp) =>
    ({ method, path }: TestRequest): boolean =>
      pattern.test(`${method} ${path}`);
  const manifests = /manifests/;
  const blobs = /GET .*\/blobs\//;

  const permanent: readonly (readonly [what: string, where: RegExp, fault: Fault, expected: RegExp])[] = [
    ["refuses a manifest (401)", manifests, { kind: "status", status: 401 }, /401 Unauthorized|authorization failed/],
    ["refuses a manifest (403)", manifests, { kind: "status", status: 403 }, /403 Forbidden/],
    ["refuses a blob (403)", blobs, { kind: "status", status: 403 }, /403 Forbidden/],
    ["has lost a blob (404)", blobs, { kind: "status", status: 404 }, /not found/],
    ["fails for long (500)", manifests, { kind: "status", status: 500 }, /500 Internal Server Error/],
    ["sends another manifest", /GET .*manifests/, { kind: "garbage", body: "{]" }, /./],
    ["sends an empty manifest", /GET .*manifests/, { kind: "garbage", body: "" }, /./],
    ["sends a larger blob", blobs, { kind: "garbage", body: "x".repeat(1000) }, /it is larger than 182 bytes/],
    ["sends an empty blob", blobs, { kind: "garbage", body: "" }, /the connection ended early/],
  ];
  for (const [what, where, fault, expected] of permanent) {
    test(`that ${what} fails the build with the line, and the next build works`, async () => {
      const image = newImage();
      registry.registry.fail(matching(where), fault, 1000);
      const { error } = await build(image);
      registry.registry.clearFaults();
      assert.match(String(error), expected);
      assert.match(String(error), new RegExp(image.replaceAll(".", "\\.").replace(":latest", "")));
      assert.deepEqual(linesOf(error), [2]);
      assert.deepEqual(leftovers(daemon.root), []);
      const solved = await solveOk(daemon, await busyboxContext(folder.path, `FROM ${image}\nRUN echo well\n`));
      assert.match(solved.logs, /well/);
    });
  }

  const passing: readonly (readonly [what: string, where: RegExp, fault: Fault])[] = [
    ["answers 500 once", manifests, { kind: "status", status: 500 }],
    ["answers 503 once for a blob", blobs, { kind: "status", status: 503 }],
    ["breaks a blob off once", blobs, { kind: "cut", afterBytes: 5000 }],
    ["breaks the connection once", manifests, { kind: "cut", afterBytes: 0 }],
  ];
  for (const [what, where, fault] of passing) {
    test(`that ${what} is asked again`, async () => {
      const image = newImage();
      registry.registry.fail(matching(where), fault);
      const { error, logs } = await build(image);
      assert.equal(error, undefined);
      assert.match(logs, /built/);
    });
  }

  test("that is down fails the build with its name", async () => {
    const { error } = await build("127.0.0.1:1/nothing:latest");
    assert.match(String(error), /127\.0\.0\.1:1\/nothing:latest.*connection refused/);
    assert.deepEqual(linesOf(error), [2]);
  });

  test("whose layer is not what its digest says fails the build", async () => {
    const image = newImage();
    const name = `image${images}`;
    const manifest = JSON.parse(String(registry.registry.manifest(name, "latest")?.bytes)) as {
      layers: { digest: string; size: number }[];
    };
    const [{ digest, size } = { digest: "", size: 0 }] = manifest.layers;
    const garbage = { kind: "garbage", body: "x".repeat(size) } as const;
    registry.registry.fail(({ path }) => path.includes(digest), garbage, 1000);
    const { error } = await build(image);
    registry.registry.clearFaults();
    assert.match(String(error), /digest|data/i);
    assert.deepEqual(leftovers(daemon.root), []);
    assert.equal((await build(image)).error, undefined);
  });

  test("whose config names other layers than it has fails the build", async () => {
    const image = newImage();
    const name = `image${images}`;
    const manifest = registry.registry.manifest(name, "latest");
    assert.ok(manifest !== undefined);
    const parsed = JSON.parse(manifest.bytes.toString("utf8")) as { config: { digest: string; size: number } };
    const config = Buffer.from(
      String(registry.registry.blob(name, parsed.config.digest)).replace(
        /"diff_ids":\["sha256:\w{8}/,
        '"diff_ids":["sha256:00000000',
      ),
    );
    parsed.config = { ...parsed.config, digest: registry.registry.putBlob(name, config), size: config.length };
    const bytes = Buffer.from(JSON.stringify(parsed));
    registry.registry.putManifest(name, { mediaType: manifest.mediaType, bytes }, "latest");
    const { error } = await build(image);
    assert.match(String(error), /wrong diff id|diff ?id|digest/i);
    assert.deepEqual(leftovers(daemon.root), []);
  });

  test("whose tag moved gives the new image, and rebuilds what follows", async () => {
    const image = newImage();
    const context = await busyboxContext(folder.path, `FROM ${image}\nRUN echo moved\n`);
    assert.match((await solveOk(daemon, context)).logs, /moved/);
    assert.equal((await solveOk(daemon, context)).logs, "");
    registry.putImage(`image${images}`, Buffer.concat([layer.subarray(0, -1024), Buffer.alloc(512 * 64)]));
    assert.match((await solveOk(daemon, context)).logs, /moved/);
  });
});
