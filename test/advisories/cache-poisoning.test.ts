import assert from "node:assert/strict";
import { before, suite, test } from "node:test";
import { digestOf } from "@buildkit-ts/oci";
import { encodeTarHeader, tarEnd, tarPadding } from "@buildkit-ts/tar";
import { busyboxContext, shellLayer, shellStage } from "../e2e/support/busybox-context.ts";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { ownedBySuite } from "../e2e/support/owned-by-suite.ts";
import { temporaryFolder } from "../e2e/support/processes.ts";
import { executed, type Solved, type SolveOptions, solveDockerfile, solveOk } from "../e2e/support/solve.ts";
import { StallingRegistry } from "../e2e/support/stalling-registry.ts";

interface CacheManifest {
  config: { digest: string; size: number };
  layers: { digest: string; size: number; annotations?: Record<string, string> }[];
}

/** An archive's file, without the archive's end. */
function entryOf(name: string, text: string): Buffer {
  const attributes = { type: "file", mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 1 } as const;
  const header = encodeTarHeader({ ...attributes, name, size: text.length });
  return Buffer.concat([header, Buffer.from(text), Buffer.alloc(tarPadding(text.length))]);
}

/** A layer with one file. */
function layerOf(name: string, text: string): Buffer {
  return Buffer.concat([entryOf(name, text), tarEnd]);
}

/** What somebody else wrote is taken for a step's result only where a build asks for it, and only if it is what it says. */
suite("a cache", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("cache-poisoning"));
  let daemon: TestDaemon;
  let registry: StallingRegistry;
  const step = "RUN echo good > /out";
  const dockerfile = `${shellStage}${step}\nRUN cat /out\n`;

  before(async () => {
    registry = owned.use(await StallingRegistry.start());
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  const build = async (lines: string, options: SolveOptions = {}): Promise<Solved> =>
    await solveOk(daemon, await busyboxContext(folder.path, lines), options);
  const forget = async (): Promise<void> => void (await daemon.buildctlOk(["prune", "--all"]));
  const cacheOf = (name: string): { readonly type: string; readonly attributes: Readonly<Record<string, string>> } => ({
    type: "registry",
    attributes: { ref: `${registry.host}/${name}:latest`, mode: "max", compression: "uncompressed" },
  });
  const manifestOf = (name: string): CacheManifest =>
    JSON.parse(String(registry.registry.manifest(name, "latest")?.bytes)) as CacheManifest;
  /** Stores an exported cache anew, with another config. */
  const store = (name: string, manifest: CacheManifest, config: Uint8Array): void => {
    manifest.config = { ...manifest.config, digest: registry.registry.putBlob(name, config), size: config.length };
    const bytes = Buffer.from(JSON.stringify(manifest));
    registry.registry.putManifest(name, { mediaType: "application/vnd.oci.image.manifest.v1+json", bytes }, "latest");
  };

  test("CVE-2024-24557: an image that was pulled is no step's result, whatever its history says", async () => {
    const shell = await shellLayer(folder.path);
    const evil = registry.putImage("evil", Buffer.concat([entryOf("out", "evil\n"), shell]));
    const history = [{ created_by: step }, { created_by: `/bin/sh -c ${step.slice(4)}` }];
    const manifest = manifestOf("evil");
    const config = JSON.parse(String(registry.registry.blob("evil", manifest.config.digest))) as object;
    store("evil", manifest, Buffer.from(JSON.stringify({ ...config, history })));
    assert.match((await build(`FROM ${evil}\nRUN cat /out\n`)).logs, /evil/);
    const solved = await build(dockerfile);
    assert.ok(executed(solved).includes(step));
    assert.match(solved.logs, /good/);
    // Nor what is built from scratch with the same words.
    await build("FROM scratch\nCOPY busybox /bin/sh\nCOPY Dockerfile /out\n");
    await assert.rejects(build(`${shellStage}RUN cat /out\n`), /the build failed/);
  });

  test("CVE-2024-24557: what only configures an image is the newest build's, though all steps are cached", async () => {
    const seen = new Set<string>();
    for (const line of ["HEALTHCHECK CMD one", "HEALTHCHECK CMD two", "ONBUILD RUN one", "ONBUILD RUN two", "USER 5"]) {
      const name = `${registry.host}/configured:latest`;
      const exports = [{ type: "image", attributes: { name, push: "true" } }];
      await build(`${dockerfile}${line}\n`, { exports });
      const { config } = manifestOf("configured");
      const text = String(registry.registry.blob("configured", config.digest));
      assert.match(text, new RegExp(line.replace(/.* /, "")));
      seen.add(config.digest);
    }
    assert.equal(seen.size, 5);
  });

  test("that is imported is read from its own bytes only: others are built again", async () => {
    await build(dockerfile, { cacheExports: [cacheOf("swapped")] });
    const target = manifestOf("swapped").layers.at(-1);
    assert.ok(target !== undefined);
    const fault = { kind: "garbage", body: layerOf("out", "evil\n").toString("latin1") } as const;
    registry.registry.fail(({ path }) => path.includes(`/blobs/${target.digest}`), fault, 1000);
    await forget();
    const solved = await build(`${dockerfile}RUN cat /out | tr a-z A-Z\n`, { cacheImports: [cacheOf("swapped")] });
    registry.registry.clearFaults();
    assert.match(solved.logs, /GOOD/);
    assert.doesNotMatch(solved.logs, /evil/i);
  });

  test("that is imported must have layers with the DiffIDs that it says: others are built again", async () => {
    await build(dockerfile, { cacheExports: [cacheOf("lying")] });
    const manifest = manifestOf("lying");
    const text = String(registry.registry.blob("lying", manifest.config.digest));
    const config = JSON.parse(text) as { layers: { blob: string }[] };
    const evil = layerOf("out", "evil\n");
    const digest = registry.registry.putBlob("lying", evil);
    // The layer of the step that wrote the file, which is the last one.
    const last = manifest.layers.at(-1);
    const known = config.layers.find(({ blob }) => blob === last?.digest);
    assert.ok(last !== undefined && known !== undefined);
    Object.assign(last, { digest, size: evil.length });
    known.blob = digest;
    store("lying", manifest, Buffer.from(JSON.stringify(config)));
    await forget();
    const solved = await build(`${dockerfile}RUN cat /out | tr a-z A-Z\n`, { cacheImports: [cacheOf("lying")] });
    assert.match(solved.logs, /GOOD/);
    assert.doesNotMatch(solved.logs, /evil/i);
  });

  test("that is imported and is no cache is told of, and fails no build", async () => {
    await build(dockerfile, { cacheExports: [cacheOf("broken")] });
    const manifest = manifestOf("broken");
    const layers = Array.from({ length: 3 }, () => ({ blob: digestOf(Buffer.from("nothing")), parent: 2 }));
    for (const config of [
      "no JSON",
      "null",
      "[".repeat(100_000),
      JSON.stringify({ layers, records: [{ digest: digestOf(Buffer.from("x")), inputs: [[{ link: 0 }]] }] }),
      JSON.stringify({ layers: [{ blob: "sha256:../../x", parent: -7 }], records: [{ layers: [{ layer: 99 }] }] }),
    ]) {
      store("broken", structuredClone(manifest), Buffer.from(config));
      await forget();
      const context = await busyboxContext(folder.path, dockerfile);
      const { error, logs } = await solveDockerfile(daemon, context, { cacheImports: [cacheOf("broken")] });
      assert.equal(error, undefined, config.slice(0, 40));
      assert.match(logs, /good/);
    }
  });
});
