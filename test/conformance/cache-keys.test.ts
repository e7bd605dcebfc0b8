import assert from "node:assert/strict";
import { chmodSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { type Digest, digestOf, type Manifest } from "@buildkit-ts/oci";
import { type CacheConfig, parseCacheConfig } from "@buildkit-ts/remotecache";
import { rootKey } from "@buildkit-ts/solver";
import { pushBaseImage } from "../e2e/support/base-image.ts";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { ownedBySuite } from "../e2e/support/owned-by-suite.ts";
import { repository, temporaryFolder } from "../e2e/support/processes.ts";
import { TestRegistry } from "../e2e/support/registry.ts";
import { solveOk } from "../e2e/support/solve.ts";

const testdata = join(import.meta.dirname, "testdata/cache-keys");

/** A base image, as far as keys depend on it. */
interface BaseImage {
  readonly manifest: Digest;
  readonly diffId: Digest;
}

/** See testdata/cache-keys/README.md. */
const goldenBase: BaseImage = {
  manifest: "sha256:1ff516445d86c2bc5123e8f72cd18b4e6aa73823648a047c24c923d9a21e7df1" as Digest,
  diffId: "sha256:da9a3365f76e0d914afb3f17de41e3733c7294c96b964c7a4473a50f9f42a308" as Digest,
};

/** The two keys of a base image: what its name stands for, and what its layers are. */
function baseKeys({ manifest, diffId }: BaseImage): readonly [quick: Digest, exact: Digest] {
  const named = digestOf(JSON.stringify({ Digest: manifest, OS: "linux", Arch: "amd64" }));
  const keyOf = (key: Digest): Digest => rootKey(digestOf(`buildkit.source.v0:${key}`), 0);
  return [keyOf(named), keyOf(diffId)];
}

/** All records with their links, with names in place of the base image's keys. */
function graphOf(config: CacheConfig, base: BaseImage): string[] {
  const [quick, exact] = baseKeys(base);
  const nameOf = (digest: Digest | undefined): string =>
    digest === quick ? "base image by name" : digest === exact ? "base image by layers" : String(digest);
  return config.records
    .map(({ digest, inputs, layers }) => {
      const links = inputs.map((input) =>
        input.map(({ selector, link }) => `${nameOf(config.records[link]?.digest)} ${selector}`).toSorted(),
      );
      return JSON.stringify({ digest: nameOf(digest), links, hasResult: layers.length > 0 });
    })
    .toSorted();
}

suite("keys of exported caches are BuildKit's", { skip: process.arch !== "x64" && "keys name the platform" }, () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("cache-keys"));
  const context = join(folder.path, "context");
  let registry: TestRegistry;
  let daemon: TestDaemon;
  let base: BaseImage;

  before(async () => {
    registry = owned.use(await TestRegistry.start(folder.path));
    await pushBaseImage(folder.path, registry.host);
    base = await inspectBase(registry.host);
    const mirror = `[registry."docker.io"]\nmirrors = ["${registry.host}"]\n[registry."${registry.host}"]\nhttp = true\n`;
    writeFileSync(join(folder.path, "none.toml"), mirror);
    daemon = owned.use(await TestDaemon.start(folder.path));
    copyContext(context);
  });

  // In the order in which the goldens were made: a base image that was used before is known by both of its keys.
  for (const name of ["run-copy", "mounts", "link-add"]) {
    test(`for ${name}.Dockerfile`, async () => {
      cpSync(join(testdata, `${name}.Dockerfile`), join(context, "Dockerfile"));
      const dest = join(folder.path, `cache-${name}`);
      const cacheExports = [{ type: "local", attributes: { dest, mode: "max" } }];
      const { response } = await solveOk(daemon, context, { cacheExports });
      const { digest } = JSON.parse(response?.exporterResponse["cache.manifest"] ?? "") as { readonly digest: Digest };
      const manifest = JSON.parse(readBlob(dest, digest)) as Manifest;
      const ours = parseCacheConfig(readBlob(dest, manifest.config.digest));
      const golden = parseCacheConfig(
        readFileSync(join(repository, `packages/remotecache/testdata/${name}.json`), "utf8"),
      );
      assert.deepEqual(graphOf(ours, base), graphOf(golden, goldenBase));
      assert.equal(ours.layers.length, golden.layers.length);
    });
  }
});

function readBlob(layout: string, digest: Digest): string {
  return readFileSync(join(layout, "blobs", ...digest.split(":")), "utf8");
}

/** Version control keeps neither modes nor owners. */
function copyContext(context: string): void {
  mkdirSync(join(context, "dir"), { recursive: true });
  for (const file of ["a.txt", "x.tar.gz", "dir/b.txt"]) {
    cpSync(join(testdata, "context", file), join(context, file));
    chmodSync(join(context, file), file === "dir/b.txt" ? 0o600 : 0o644);
  }
  chmodSync(join(context, "dir"), 0o755);
  symlinkSync("../a.txt", join(context, "dir/link"));
}

async function inspectBase(host: string): Promise<BaseImage> {
  const repositoryUrl = `http://${host}/v2/library/busybox`;
  const accept = "application/vnd.oci.image.manifest.v1+json";
  const bytes = Buffer.from(
    await (await fetch(`${repositoryUrl}/manifests/latest`, { headers: { accept } })).arrayBuffer(),
  );
  const manifest = JSON.parse(bytes.toString("utf8")) as Manifest;
  const config = (await (await fetch(`${repositoryUrl}/blobs/${manifest.config.digest}`)).json()) as {
    readonly rootfs: { readonly diff_ids: readonly [Digest] };
  };
  return { manifest: digestOf(bytes), diffId: config.rootfs.diff_ids[0] };
}
