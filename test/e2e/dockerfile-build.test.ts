import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { pushBaseImage } from "./support/base-image.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { runOk, temporaryFolder } from "./support/processes.ts";
import { TestRegistry } from "./support/registry.ts";

const dockerfile = (base: string): string => `
FROM ${base} AS base
ENV GREETING="hello world"
WORKDIR /work

FROM base AS one
RUN --mount=type=cache,target=/var/cache/one echo one >> /var/cache/one/log && cat /var/cache/one/log > one.txt
COPY src/a.txt a.txt

FROM base AS two
RUN --mount=type=secret,id=token,target=/run/secrets/token test "$(cat /run/secrets/token)" = s3cret && echo two > two.txt

FROM base AS three
RUN <<EOT
set -e
echo "$GREETING" > three.txt
chown 65534:65534 three.txt
chmod 4755 three.txt
ln three.txt three-hard.txt
ln -s three.txt three-soft.txt
EOT

FROM base
COPY --from=one /work/one.txt /work/a.txt /out/
COPY --link --from=two /work/two.txt /out/
COPY --from=three /work/ /out/
COPY --chown=1:1 --chmod=640 src /src
COPY <<INLINE /out/inline.txt
from a heredoc
INLINE
USER nobody
EXPOSE 8080
LABEL org.example.kind=test
CMD ["cat", "/out/inline.txt"]
`;

interface Inspected {
  readonly config: {
    readonly Env: string[];
    readonly User: string;
    readonly Cmd: string[];
    readonly WorkingDir: string;
    readonly Labels: object;
  };
  readonly history: readonly { readonly created_by?: string; readonly empty_layer?: boolean }[];
  readonly rootfs: { readonly diff_ids: string[] };
}

suite("a Dockerfile of several stages", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("dockerfile-build"));
  let daemon: TestDaemon;
  let registry: TestRegistry;
  let context: string;
  let image: string;

  before(async () => {
    registry = owned.use(await TestRegistry.start(folder.path));
    const base = await pushBaseImage(folder.path, registry.host);
    image = `${registry.host}/app:v1`;
    context = join(folder.path, "context");
    mkdirSync(join(context, "src"), { recursive: true });
    writeFileSync(join(context, "Dockerfile"), dockerfile(base));
    writeFileSync(join(context, ".dockerignore"), "ignored\n*.log\n");
    writeFileSync(join(context, "src/a.txt"), "a\n");
    writeFileSync(join(context, "ignored"), "must not travel\n");
    writeFileSync(join(folder.path, "token"), "s3cret");
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  const buildx = async (...more: string[]): Promise<string> => {
    const secret = ["--secret", `id=token,src=${join(folder.path, "token")}`];
    const args = [
      "build",
      "--progress=plain",
      "--provenance=false",
      ...secret,
      "-t",
      image,
      "--push",
      ...more,
      context,
    ];
    const result = await daemon.buildx(args);
    assert.equal(result.code, 0, `${result.output}\n${daemon.log()}`);
    return result.output;
  };

  test("builds and pushes with docker buildx, and other tools accept the image", async () => {
    await buildx();
    const config = JSON.parse(
      await runOk("skopeo", ["inspect", "--tls-verify=false", "--config", `docker://${image}`]),
    ) as Inspected;
    assert.equal(config.config.User, "nobody");
    assert.deepEqual(config.config.Cmd, ["cat", "/out/inline.txt"]);
    assert.equal(config.config.WorkingDir, "/work");
    assert.ok(config.config.Env.includes("GREETING=hello world"));
    assert.equal(config.history.filter((entry) => entry.empty_layer !== true).length, config.rootfs.diff_ids.length);
    const layout = join(folder.path, "pulled");
    await runOk("skopeo", [
      "--insecure-policy",
      "copy",
      "-q",
      "--src-tls-verify=false",
      `docker://${image}`,
      `oci:${layout}:v1`,
    ]);
    const bundle = join(folder.path, "bundle");
    await runOk("umoci", ["unpack", "--image", `${layout}:v1`, bundle]);
    const listing = await runOk("find", ["out", "src", "-printf", "%p %y %m %U:%G %s %n %l\n"], {
      cwd: join(bundle, "rootfs"),
    });
    assert.deepEqual(
      listing
        .trim()
        .split("\n")
        .map((line) => line.trim())
        .filter((line) => !line.includes(" d "))
        .toSorted(),
      [
        "out/a.txt f 644 0:0 2 1",
        "out/inline.txt f 644 0:0 15 1",
        "out/one.txt f 644 0:0 4 1",
        "out/three-hard.txt f 4755 65534:65534 12 2",
        "out/three-soft.txt l 777 0:0 9 1 three.txt",
        "out/three.txt f 4755 65534:65534 12 2",
        "out/two.txt f 644 0:0 4 1",
        "src/a.txt f 640 1:1 2 1",
      ],
    );
  });

  test("is all cached the second time", async () => {
    const output = await buildx();
    const steps = [...output.matchAll(/^#(\d+) \[[^\]]*\d+\/\d+\]/gm)].map(([, n = ""]) => n);
    const cached = new Set([...output.matchAll(/^#(\d+) CACHED$/gm)].map(([, n = ""]) => n));
    const withoutFrom = [...output.matchAll(/^#(\d+) \[[^\]]*\d+\/\d+\] (?!FROM)/gm)].map(([, n = ""]) => n);
    assert.ok(steps.length > 0);
    assert.deepEqual(
      [...new Set(withoutFrom)].filter((n) => !cached.has(n)),
      [],
      output,
    );
  });

  test("reruns only what depends on a file that changed", async () => {
    writeFileSync(join(context, "src/a.txt"), "b\n");
    const output = await buildx();
    const names = new Map([...output.matchAll(/^#(\d+) \[(.*)$/gm)].map(([, n = "", name = ""]) => [n, name]));
    const cached = new Set([...output.matchAll(/^#(\d+) CACHED$/gm)].map(([, n = ""]) => n));
    const executed = [...names]
      .filter(([n, name]) => !cached.has(n) && /\d+\/\d+\] (RUN|COPY)/.test(name))
      .map(([, name]) => name);
    assert.ok(
      executed.some((name) => name.includes("COPY src/a.txt")),
      output,
    );
    assert.ok(!executed.some((name) => name.includes("RUN")), output);
  });

  test("gives the same with our client and no registry", async () => {
    const archive = join(folder.path, "app.tar");
    await daemon.buildctlOk([
      "build",
      "--frontend",
      "dockerfile.v0",
      "--local",
      `context=${context}`,
      "--local",
      `dockerfile=${context}`,
      "--secret",
      `id=token,src=${join(folder.path, "token")}`,
      "--output",
      `type=oci,dest=${archive},name=app:v1`,
    ]);
    const inspected = await runOk("skopeo", ["inspect", "--config", `oci-archive:${archive}:v1`]);
    assert.equal((JSON.parse(inspected) as Inspected).config.User, "nobody");
  });
});

suite("a Dockerfile that fails", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("dockerfile-failure"));
  let daemon: TestDaemon;

  before(async () => {
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  const failures: readonly (readonly [name: string, text: string, expected: RegExp])[] = [
    [
      "an unknown instruction",
      "FROM scratch\nCOPPY a b\n",
      /dockerfile parse error on line 2: unknown instruction: COPPY/,
    ],
    ["a missing source", "FROM scratch\nCOPY nothing /\n", /"\/nothing": not found/],
    [
      "a cycle of stages",
      "FROM scratch AS a\nCOPY --from=b /x /\nFROM scratch AS b\nCOPY --from=a /x /\n",
      /circular dependency/,
    ],
    ["a registry that is down", "FROM localhost:1/nothing:latest\n", /localhost:1\/nothing:latest/],
  ];
  for (const [name, text, expected] of failures) {
    test(`tells of ${name}, with the line`, async () => {
      const context = join(folder.path, name.replaceAll(" ", "-"));
      mkdirSync(context);
      writeFileSync(join(context, "Dockerfile"), text);
      const result = await daemon.buildx(["build", "--progress=plain", "--provenance=false", context]);
      assert.notEqual(result.code, 0);
      assert.match(result.output, expected);
      assert.match(result.output, /Dockerfile:\d/);
    });
  }
});
