import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { AzuriteServer, GithubServer, S3Server } from "@buildkit-ts/objectstore/testing";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { temporaryFolder } from "./support/processes.ts";
import { TestRegistry } from "./support/registry.ts";
import { executed, solveOk } from "./support/solve.ts";

/** Two results that no second execution would give again, one above the other. */
const dockerfile = `${shellStage}RUN head -c 16 /dev/urandom > /low\nCOPY file /file\nRUN head -c 16 /dev/urandom > /high\nFROM scratch\nCOPY --from=base /low /high /file /\n`;
const single = dockerfile.slice(0, dockerfile.indexOf("FROM scratch\nCOPY --from=base"));

interface Entry {
  readonly type: string;
  readonly attributes: Readonly<Record<string, string>>;
}

function inStore(type: string, attributes: Entry["attributes"]): { readonly out: Entry; readonly in: Entry } {
  return { out: { type, attributes: { ...attributes, mode: "max" } }, in: { type, attributes } };
}

suite("a cache goes to another daemon", () => {
  const folder = temporaryFolder("remote-caches");
  let registry: TestRegistry;
  let s3: S3Server;
  let azurite: AzuriteServer;
  let github: GithubServer;
  let context: string;
  let daemons = 0;

  before(async () => {
    [registry, s3, azurite] = await Promise.all([
      TestRegistry.start(folder.path),
      S3Server.start(),
      AzuriteServer.start(),
    ]);
    github = await GithubServer.start(azurite);
    context = await busyboxContext(folder.path, dockerfile, { file: "text\n" });
  });

  after(async () => {
    for (const server of [github, azurite, s3, registry]) await server[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const freshDaemon = async (): Promise<TestDaemon> => {
    const home = join(folder.path, `daemon-${(daemons += 1)}`);
    mkdirSync(home);
    writeFileSync(join(home, "none.toml"), `[registry."${registry.host}"]\nhttp = true\n`);
    return await TestDaemon.start(home);
  };

  /** Builds into a directory, and gives the two random files and the names of the steps that ran. */
  const build = async (
    daemon: TestDaemon,
    entries: { readonly cacheExports?: readonly Entry[]; readonly cacheImports?: readonly Entry[] },
  ): Promise<{ readonly files: readonly string[]; readonly steps: readonly string[] }> => {
    const path = join(folder.path, "out");
    rmSync(path, { recursive: true, force: true });
    const exports = [{ type: "local", attributes: {}, target: { kind: "directory", path, mirror: false } as const }];
    const solved = await solveOk(daemon, context, { exports, ...entries });
    const files = ["low", "high"].map((name) => readFileSync(join(path, name), "hex"));
    return { files, steps: executed(solved).filter((name) => name.startsWith("RUN") || name.startsWith("COPY")) };
  };

  const places: readonly (readonly [string, () => { readonly out: Entry; readonly in: Entry }])[] = [
    [
      "by a directory",
      () => {
        const path = join(folder.path, "cache");
        return {
          out: { type: "local", attributes: { dest: path, mode: "max" } },
          in: { type: "local", attributes: { src: path } },
        };
      },
    ],
    [
      "by a registry, as an image manifest",
      () => {
        const ref = `${registry.host}/cache:manifest`;
        return {
          out: { type: "registry", attributes: { ref, mode: "max", compression: "zstd" } },
          in: { type: "registry", attributes: { ref } },
        };
      },
    ],
    [
      "by a registry, as an index",
      () => {
        const ref = `${registry.host}/cache:index`;
        const form = { "image-manifest": "false", "oci-mediatypes": "false" };
        return {
          out: { type: "registry", attributes: { ref, mode: "max", ...form } },
          in: { type: "registry", attributes: { ref } },
        };
      },
    ],
    ["by a bucket of S3", () => inStore("s3", s3.attributes("some/where/"))],
    ["by a container of Azure", () => inStore("azblob", azurite.attributes("cache"))],
    ["by GitHub's cache service, version 1", () => inStore("gha", github.attributes(1, "one"))],
    ["by GitHub's cache service, version 2", () => inStore("gha", github.attributes(2, "two"))],
  ];
  for (const [name, placeOf] of places) {
    test(name, async () => {
      const place = placeOf();
      await using from = await freshDaemon();
      await using to = await freshDaemon();
      writeFileSync(join(context, "Dockerfile"), dockerfile);
      const first = await build(from, { cacheExports: [place.out] });
      const second = await build(to, { cacheImports: [place.in] });
      assert.deepEqual(second.files, first.files);
      assert.deepEqual(second.steps, []);
      writeFileSync(join(context, "Dockerfile"), dockerfile.replace("COPY file /file", "COPY file /other"));
      const changed = await build(to, { cacheImports: [place.in] }).catch((error: unknown) => error);
      assert.ok(changed instanceof Error, "the last stage copies a file that is no longer there");
    });
  }

  test("of docker buildx, which knows the daemon's stores by its capabilities", async () => {
    await using daemon = await freshDaemon();
    writeFileSync(join(context, "Dockerfile"), dockerfile);
    const env = {
      ACTIONS_CACHE_SERVICE_V2: "true",
      ACTIONS_RESULTS_URL: github.url,
      ACTIONS_RUNTIME_TOKEN: github.token(),
    };
    const inBucket = Object.entries({ type: "s3", ...s3.attributes("buildx/") }).map((pair) => pair.join("="));
    for (const cache of ["type=gha,scope=buildx", inBucket.join(",")]) {
      const build = async (flag: string): Promise<string> => {
        const result = await daemon.buildx(["build", flag, cache, "--progress=plain", context], { env });
        assert.equal(result.code, 0, result.output);
        return result.output;
      };
      assert.match(
        await build("--cache-to"),
        /exporting (to GitHub Actions Cache|cache to Amazon S3)\n[^]*writing layer/,
      );
      assert.match(
        await build("--cache-from"),
        /importing cache manifest from (gha|s3)\n[^]*found [1-9]\d* layers in cache/,
      );
    }
  });

  test("inside the image that was built", async () => {
    const image = `${registry.host}/image:inline`;
    await using from = await freshDaemon();
    await using to = await freshDaemon();
    writeFileSync(join(context, "Dockerfile"), single);
    await solveOk(from, context, {
      exports: [{ type: "image", attributes: { name: image, push: "true" } }],
      cacheExports: [{ type: "inline", attributes: {} }],
    });
    const one = await build(from, {});
    const two = await build(to, { cacheImports: [{ type: "registry", attributes: { ref: image } }] });
    assert.deepEqual(two.files, one.files);
    assert.deepEqual(two.steps, []);
  });

  test("and without one the build goes on", async () => {
    await using daemon = await freshDaemon();
    writeFileSync(join(context, "Dockerfile"), dockerfile);
    const ref = `${registry.host}/none:none`;
    const solved = await solveOk(daemon, context, {
      cacheImports: [
        { type: "registry", attributes: { ref } },
        { type: "nonsense", attributes: {} },
        {
          type: "s3",
          attributes: { ...s3.attributes(""), endpoint_url: "http://127.0.0.1:1", retry_max_attempts: "1" },
        },
        { type: "gha", attributes: { ...github.attributes(2, "none"), token: "secret" } },
      ],
      cacheExports: [
        { type: "registry", attributes: { ref: "127.0.0.1:1/none", "ignore-error": "true" } },
        {
          type: "azblob",
          attributes: { ...azurite.attributes("cache"), secret_access_key: "c2VjcmV0", "ignore-error": "true" },
        },
      ],
    });
    assert.match(solved.steps.get(`importing cache manifest from ${ref}`)?.error ?? "", /not found/);
    assert.match(solved.steps.get("exporting cache to registry")?.error ?? "", /error writing layer blob/);
    assert.match(solved.steps.get("importing cache manifest from s3")?.error ?? "", /ECONNREFUSED/);
    assert.match(solved.steps.get("importing cache manifest from gha")?.error ?? "", /number of segments/);
    assert.match(
      solved.steps.get("exporting cache to Azure Blob Storage")?.error ?? "",
      /AuthorizationFailure|AuthenticationFailed/,
    );
    assert.doesNotMatch(daemon.log(), /c2VjcmV0/);
  });

  test("of which a directory keeps only what the newest one names, if asked to", async () => {
    await using daemon = await freshDaemon();
    const dest = join(folder.path, "reset");
    const blobs = (): string[] => readdirSync(join(dest, "blobs/sha256")).toSorted();
    const exportTo = async (text: string, attributes: Readonly<Record<string, string>>): Promise<void> => {
      writeFileSync(join(context, "Dockerfile"), single.replace("/high", `/${text}`));
      await solveOk(daemon, context, {
        cacheExports: [{ type: "local", attributes: { dest, mode: "max", ...attributes } }],
      });
    };
    await exportTo("one", {});
    const first = blobs();
    await exportTo("two", {});
    assert.ok(first.every((blob) => blobs().includes(blob)));
    await exportTo("two", { reset: "true" });
    assert.ok(!first.every((blob) => blobs().includes(blob)));
    assert.ok(existsSync(join(dest, "index.json")));
    await using other = await freshDaemon();
    const solved = await solveOk(other, context, { cacheImports: [{ type: "local", attributes: { src: dest } }] });
    assert.deepEqual(
      executed(solved).filter((name) => name.startsWith("RUN")),
      [],
    );
  });
});
