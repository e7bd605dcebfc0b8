import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { pushBaseImage } from "../e2e/support/base-image.ts";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { ownedBySuite } from "../e2e/support/owned-by-suite.ts";
import { type RunResult, run, runOk, temporaryFolder } from "../e2e/support/processes.ts";
import { TestRegistry } from "../e2e/support/registry.ts";

const calls = join(import.meta.dirname, "testdata/calls");

interface Index {
  readonly manifests: readonly { readonly platform?: { readonly architecture: string } }[];
}

suite("docker-buildx", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("buildx-commands"));
  let daemon: TestDaemon;
  let registry: TestRegistry;
  let base: string;

  before(async () => {
    registry = owned.use(await TestRegistry.start(folder.path));
    base = await pushBaseImage(folder.path, registry.host);
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  async function imagetools(args: readonly string[]): Promise<RunResult> {
    const env = { BUILDX_CONFIG: join(folder.path, "buildx"), DOCKER_CONFIG: join(folder.path, "docker") };
    return await run("docker-buildx", ["imagetools", ...args], { env });
  }

  for (const [call, code] of [
    ["check", 1],
    ["outline", 0],
    ["targets", 0],
  ] as const) {
    test(`build --call=${call} prints what it prints with BuildKit's own daemon`, async () => {
      const context = ["--build-context", `base=docker-image://${base}`];
      const result = await daemon.buildx(["build", `--call=${call}`, "--target", "app", ...context, "."], {
        cwd: calls,
      });
      assert.equal(result.stdout, readFileSync(join(calls, `${call}.txt`), "utf8"));
      assert.equal(result.code, code);
    });
  }

  test("bake builds ten targets that stand on each other, each step once", async () => {
    const context = mkdtempSync(join(folder.path, "bake-"));
    const names = Array.from({ length: 9 }, (_, i) => `part${i}`);
    const targets = Object.fromEntries([
      [
        "common",
        { "dockerfile-inline": `FROM ${base}\nRUN echo common > /common\n`, tags: [`${registry.host}/common`] },
      ],
      ...names.map((name) => [
        name,
        {
          contexts: { common: "target:common" },
          "dockerfile-inline": `FROM common\nRUN echo ${name} > /name\n`,
          output: ["type=registry"],
          tags: [`${registry.host}/${name}:v1`],
        },
      ]),
    ]);
    const file = join(context, "docker-bake.json");
    writeFileSync(file, JSON.stringify({ group: { default: { targets: ["common", ...names] } }, target: targets }));
    const result = await daemon.buildx(["bake", "--progress=plain", "--allow=fs=*", "-f", file], { cwd: context });
    assert.equal(result.code, 0, result.output);
    const ran = [...result.output.matchAll(/^#(\d+) \[\S+ 2\/2\] RUN echo common > \/common$/gm)];
    assert.ok(ran.length >= 1, result.output);
    // A step that goes on after others have printed is named again.
    const executed = new Set(ran.map(([, id = ""]) => id).filter((id) => !result.output.includes(`#${id} CACHED`)));
    assert.ok(executed.size <= 1, result.output);
    for (const name of names) {
      const layers = JSON.parse(
        await runOk("skopeo", ["inspect", "--tls-verify=false", `docker://${registry.host}/${name}:v1`]),
      ) as { Layers: string[] };
      assert.equal(layers.Layers.length, 3);
    }
  });

  test("imagetools reads a pushed index, and makes another of it", async () => {
    const context = mkdtempSync(join(folder.path, "context-"));
    writeFileSync(join(context, "Dockerfile"), `FROM scratch\nCOPY Dockerfile /\n`);
    const name = `${registry.host}/many`;
    const platforms = ["--platform", "linux/amd64,linux/arm64", "--provenance=false"];
    const built = await daemon.buildx(["build", ...platforms, "--push", "-t", `${name}:1`, context]);
    assert.equal(built.code, 0, built.output);
    const raw = await imagetools(["inspect", "--raw", `${name}:1`]);
    assert.equal(raw.code, 0, raw.output);
    const architectures = (JSON.parse(raw.stdout) as Index).manifests.map(({ platform }) => platform?.architecture);
    assert.deepEqual(architectures.toSorted(), ["amd64", "arm64"]);
    const created = await imagetools(["create", "-t", `${name}:2`, `${name}:1`]);
    assert.equal(created.code, 0, created.output);
    const inspected = await imagetools(["inspect", `${name}:2`]);
    assert.match(inspected.stdout, /Platform: +linux\/arm64/);
  });
});
