import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { pushBaseImage } from "./support/base-image.ts";
import { TestDaemon } from "./support/daemon.ts";
import { bundleFrontend, pushNodeImage } from "./support/frontend-image.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { type RunResult, repository, temporaryFolder } from "./support/processes.ts";
import { TestRegistry } from "./support/registry.ts";

/** Frontends by the image that they become, with the folder that has their program and Dockerfile. */
const frontends = {
  dockerfile: { folder: "apps/dockerfile-frontend", entry: "src/main.ts" },
  justfile: { folder: "examples/justfile", entry: "main.ts" },
  earthfile: { folder: "examples/earthfile", entry: "main.ts" },
  buildpacks: { folder: "examples/buildpacks", entry: "main.ts" },
} as const;

suite("docker-buildx with a frontend image that was written in TypeScript", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("frontend-languages"));
  let daemon: TestDaemon;
  let registry: TestRegistry;
  let base: string;

  before(async () => {
    registry = owned.use(await TestRegistry.start(folder.path));
    base = await pushBaseImage(folder.path, registry.host);
    daemon = owned.use(await TestDaemon.start(folder.path));
    const node = `${registry.host}/node:latest`;
    await pushNodeImage({ daemon, folder: folder.path, name: node });
    for (const [name, { folder: source, entry }] of Object.entries(frontends)) {
      const bundle = mkdtempSync(join(folder.path, `${name}-`));
      await bundleFrontend(join(source, entry), bundle);
      const dockerfile = join(repository, source, "Dockerfile");
      const options = ["--build-arg", `NODE_IMAGE=${node}`, "--push", "-t", `${registry.host}/${name}`];
      await buildOk(["-f", dockerfile, ...options, bundle]);
    }
    await buildOk([
      "--build-arg",
      `BASE=${base}`,
      "--push",
      "-t",
      `${registry.host}/builder`,
      join(repository, "examples/buildpacks/builder"),
    ]);
  });

  async function build(args: readonly string[]): Promise<RunResult> {
    return await daemon.buildx(["build", "--progress=plain", ...args]);
  }

  async function buildOk(args: readonly string[]): Promise<string> {
    const result = await build(args);
    assert.equal(result.code, 0, result.output);
    return result.output;
  }

  /** A context with one file, whose images are those of the test's registry. */
  function contextWith(filename: string, text: string, from?: string): string {
    const context = mkdtempSync(join(folder.path, "context-"));
    if (from !== undefined) cpSync(join(repository, from), context, { recursive: true });
    const localized = text.replaceAll("registry.example.com", registry.host).replaceAll(/\bbusybox\b/g, base);
    writeFileSync(join(context, filename), localized);
    return context;
  }

  function sample(example: string, filename: string): string {
    const from = `examples/${example}/sample`;
    return contextWith(filename, readFileSync(join(repository, from, filename), "utf8"), from);
  }

  function output(): string {
    return mkdtempSync(join(folder.path, "out-"));
  }

  test("builds a Dockerfile whose syntax line names our own frontend", async () => {
    const out = output();
    const text =
      "# syntax=registry.example.com/dockerfile\nFROM busybox AS b\nRUN echo hi > /x\nFROM scratch\nCOPY --link --from=b /x /y\n";
    const printed = await buildOk(["--output", out, contextWith("Dockerfile", text)]);
    assert.equal(readFileSync(join(out, "y"), "utf8"), "hi\n");
    assert.match(printed, /resolve image config for docker-image:\/\/localhost:\d+\/dockerfile/);
    assert.match(printed, /\[b 2\/2\] RUN echo hi/);
  });

  test("shows the line of a Dockerfile that our own frontend refuses", async () => {
    const context = contextWith("Dockerfile", "# syntax=registry.example.com/dockerfile\nFROM busybox\nRUNN x\n");
    const { code, output: printed } = await build([context]);
    assert.notEqual(code, 0);
    assert.match(printed, /Dockerfile:3\n-+\n/);
    assert.match(printed, />>> RUNN x/);
    assert.match(printed, /unknown instruction: RUNN \(did you mean RUN\?\)/);
  });

  test("checks a Dockerfile with our own frontend", async () => {
    const text = "# syntax=registry.example.com/dockerfile\nFROM busybox as b\nMAINTAINER me\n";
    const { code, output: printed } = await build(["--call=check", contextWith("Dockerfile", text)]);
    assert.equal(code, 1, printed);
    assert.match(
      printed,
      /WARNING: FromAsCasing - https:\/\/docs\.docker\.com\/go\/dockerfile\/rule\/from-as-casing\//,
    );
    assert.match(printed, /WARNING: MaintainerDeprecated/);
  });

  test("builds a Justfile", async () => {
    const out = output();
    await buildOk([
      "-f",
      join(sample("justfile", "Justfile"), "Justfile"),
      "--build-arg",
      "greeting=hi",
      "--output",
      out,
      sample("justfile", "Justfile"),
    ]);
    assert.equal(readFileSync(join(out, "greeting"), "utf8"), "hi from just\n");
  });

  test("shows the line of a Justfile whose command fails", async () => {
    const text = '# syntax=registry.example.com/justfile\nimage := "busybox"\nbuild:\n    true\n    exit 3\n';
    const context = contextWith("Justfile", text);
    const { code, output: printed } = await build(["-f", join(context, "Justfile"), context]);
    assert.notEqual(code, 0);
    assert.match(printed, />>> +exit 3/);
    assert.match(printed, /exit code: 3/);
  });

  test("builds an Earthfile's target", async () => {
    const out = output();
    const context = sample("earthfile", "Earthfile");
    await buildOk([
      "-f",
      join(context, "Earthfile"),
      "--target",
      "+app",
      "--build-arg",
      "who=you",
      "--output",
      out,
      context,
    ]);
    assert.equal(readFileSync(join(out, "greeting"), "utf8"), "hello, you\n");
  });

  test("builds an application with buildpacks", async () => {
    const context = sample("buildpacks", "project.conf");
    const image = `${registry.host}/app`;
    await buildOk(["-f", join(context, "project.conf"), "--push", "-t", image, context]);
    const out = output();
    const check = contextWith("Dockerfile", `FROM ${image}\nRUN sh /workspace/start.sh > /styles\n`);
    await buildOk(["--output", out, check]);
    assert.equal(readFileSync(join(out, "styles"), "utf8"), "body { color: red }\n");
  });
});
