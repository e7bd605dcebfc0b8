import assert from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { type Frontend, inClient } from "@buildkit-ts/frontend";
import { dockerfileFrontend } from "../../apps/dockerfile-frontend/src/dockerfile-frontend.ts";
import { buildpacksFrontend } from "../../examples/buildpacks/buildpacks-frontend.ts";
import { earthfileFrontend } from "../../examples/earthfile/earthfile-frontend.ts";
import { justfileFrontend } from "../../examples/justfile/justfile-frontend.ts";
import { pushBaseImage } from "./support/base-image.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { repository, runOk, temporaryFolder } from "./support/processes.ts";
import { TestRegistry } from "./support/registry.ts";
import { linesOf, type Solved, solve } from "./support/solve.ts";

const nodeFlags = ["--conditions=source", "--disable-warning=ExperimentalWarning"];

suite("a frontend in TypeScript that runs in the client", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("typescript-frontends"));
  let daemon: TestDaemon;
  let registry: TestRegistry;
  let base: string;

  before(async () => {
    registry = owned.use(await TestRegistry.start(folder.path));
    base = await pushBaseImage(folder.path, registry.host);
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  /** A copy of an example's sample whose images are those of the test's registry. */
  function sample(example: string, file: string): string {
    const copied = mkdtempSync(join(folder.path, `${example}-`));
    cpSync(join(repository, "examples", example, "sample"), copied, { recursive: true });
    const text = readFileSync(join(copied, file), "utf8");
    writeFileSync(
      join(copied, file),
      text.replaceAll(/\bbusybox\b/g, base).replaceAll("registry.example.com/builder", `${registry.host}/builder`),
    );
    return copied;
  }

  async function build(
    frontend: Frontend,
    options: { readonly context: string; readonly attributes?: Readonly<Record<string, string>> },
  ): Promise<{ readonly out: string; readonly solved: Solved }> {
    const { context, attributes = {} } = options;
    const out = mkdtempSync(join(folder.path, "out-"));
    const solved = await solve(daemon, {
      run: inClient(frontend),
      directories: { context, dockerfile: context },
      attributes,
      exports: [{ type: "local", attributes: {}, target: { kind: "directory", path: out, mirror: false } }],
    });
    return { out, solved };
  }

  test("builds a recipe of a Justfile with what it depends on, and its variables", async () => {
    const context = sample("justfile", "Justfile");
    const { out, solved } = await build(justfileFrontend, { context, attributes: { "build-arg:greeting": "hi" } });
    assert.equal(solved.error, undefined);
    assert.equal(readFileSync(join(out, "greeting"), "utf8"), "hi from just\n");
    const names = [...solved.steps.keys()].filter((name) => /^\[(compile|check|release)\]/.test(name));
    assert.deepEqual(names.map((name) => name.split(" ", 1)[0]).toSorted(), [
      "[check]",
      "[compile]",
      "[compile]",
      "[release]",
    ]);
    const again = await build(justfileFrontend, { context, attributes: { "build-arg:greeting": "hi" } });
    assert.ok(names.every((name) => again.solved.steps.get(name)?.cached === true));
  });

  test("points into a Justfile that is wrong", async () => {
    const context = sample("justfile", "Justfile");
    writeFileSync(join(context, "Justfile"), "build: missing\n    true\n");
    const { solved } = await build(justfileFrontend, { context });
    assert.match(String(solved.error), /There is no recipe "missing", only: build/);
    assert.deepEqual(linesOf(solved.error), [1]);
  });

  test("points to the line of a Justfile whose command fails", async () => {
    const context = sample("justfile", "Justfile");
    writeFileSync(join(context, "Justfile"), `image := "${base}"\nbuild:\n    true\n    exit 3\n`);
    const { solved } = await build(justfileFrontend, { context });
    assert.deepEqual(linesOf(solved.error), [4]);
  });

  test("builds a target of an Earthfile from the artifacts of others, and nothing else", async () => {
    const context = sample("earthfile", "Earthfile");
    const attributes = { target: "+app", "build-arg:who": "you" };
    const { out, solved } = await build(earthfileFrontend, { context, attributes });
    assert.equal(solved.error, undefined);
    assert.equal(readFileSync(join(out, "greeting"), "utf8"), "hello, you\n");
    assert.ok(![...solved.steps.keys()].some((name) => name.startsWith("[+check]")));
    assert.ok(!existsSync(join(out, "src/words")), "the artifact alone is taken");
  });

  test("builds an application with the buildpacks that say that they apply", async () => {
    const builder = join(repository, "examples/buildpacks/builder");
    const made = await solve(daemon, {
      frontend: "dockerfile.v0",
      directories: { context: builder, dockerfile: builder },
      attributes: { "build-arg:BASE": base },
      exports: [{ type: "image", attributes: { name: `${registry.host}/builder`, push: "true" } }],
    });
    assert.equal(made.error, undefined);
    const context = sample("buildpacks", "project.conf");
    const attributes = { filename: "project.conf" };
    const { out, solved } = await build(buildpacksFrontend, { context, attributes });
    assert.equal(solved.error, undefined);
    assert.ok(existsSync(join(out, "layers/assets/assets/style.css.gz")));
    assert.ok(!existsSync(join(out, "workspace/assets")));
    assert.ok(existsSync(join(out, "bin/busybox")), "it stands on the run image");
    const config = JSON.parse(Buffer.from(solved.response?.metadata["containerimage.config"] ?? []).toString()) as {
      config: { Cmd: string[] };
    };
    assert.deepEqual(config.config.Cmd, ["/bin/sh", "-c", "exec sh /workspace/start.sh"]);
  });

  test("builds a Dockerfile", async () => {
    const context = mkdtempSync(join(folder.path, "context-"));
    writeFileSync(
      join(context, "Dockerfile"),
      `FROM ${base} AS b\nRUN echo hi > /x\nFROM scratch\nCOPY --from=b /x /\n`,
    );
    const { out, solved } = await build(dockerfileFrontend, { context });
    assert.equal(solved.error, undefined);
    assert.equal(readFileSync(join(out, "x"), "utf8"), "hi\n");
  });

  test("is a build script that looks into the context to know what to build", async () => {
    const script = join(repository, "examples/build-script/build.ts");
    const out = mkdtempSync(join(folder.path, "pages-"));
    const context = join(repository, "examples/build-script/sample");
    const output = await runOk(process.execPath, [...nodeFlags, script, daemon.address, base, context, out]);
    assert.match(output, /render about/);
    assert.equal(readFileSync(join(out, "index.html"), "utf8"), "<h1>index</h1>\n<p>Welcome</p>\n");
  });
});
