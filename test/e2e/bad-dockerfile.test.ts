import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { TestRegistry } from "@buildkit-ts/registry/testing";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { temporaryFolder } from "./support/processes.ts";

suite("a bad Dockerfile", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("bad-dockerfile"));
  let daemon: TestDaemon;
  let registry: TestRegistry;
  let context: string;

  before(async () => {
    registry = owned.use(await TestRegistry.start());
    context = await busyboxContext(folder.path, "");
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  const cases: readonly (readonly [name: string, text: () => string, expected: readonly RegExp[]])[] = [
    [
      "an unknown instruction",
      () => "FROM scratch\nCOPPY a b\n",
      [/dockerfile parse error on line 2: unknown instruction: COPPY/, /^ +2 \| >>> COPPY a b/m],
    ],
    [
      "a missing source",
      () => "FROM scratch\n\nCOPY nothing /\n",
      [
        /failed to solve: failed to compute cache key: failed to calculate checksum of ref \S+: "\/nothing": not found/,
        /^ +3 \| >>> COPY nothing \//m,
      ],
    ],
    [
      "a cycle of stages",
      () => "FROM scratch AS a\nCOPY --from=b /x /\nFROM scratch AS b\nCOPY --from=a /x /\n",
      [/circular dependency detected on stage: a/],
    ],
    [
      "an image that does not exist",
      () => `FROM ${registry.host}/nothing:latest\n`,
      [
        /failed to resolve source metadata for 127\S+\/nothing:latest: 127\S+\/nothing:latest: not found/,
        /^ +1 \| >>> FROM/m,
      ],
    ],
    [
      "a step that fails",
      () => `${shellStage}RUN echo first >&2 && \\\n  echo last words >&2 && \\\n  exit 42\nRUN echo never\n`,
      [
        /process "\/bin\/sh -c echo first >&2 &&.*" did not complete successfully: exit code: 42/,
        /^ +3 \| >>> RUN echo first/m,
        /^ +5 \| >>> {3}exit 42/m,
        /^ +6 \| {5}RUN echo never/m,
        /^------\n > \[2\/3\] RUN echo first[^\n]*\n(?:\d\S* )first\n(?:\d\S* )last words\n------/m,
      ],
    ],
    [
      "a program that does not exist",
      () => `${shellStage}RUN ["/nowhere"]\n`,
      [/"\/nowhere"|\/nowhere/, /no such file or directory|not found/, /^ +3 \| >>> RUN/m],
    ],
    [
      "a program that a signal ends",
      () => `${shellStage}RUN sh -c 'kill -9 $$' || exit $?\n`,
      [/did not complete successfully: exit code: 137/],
    ],
    ["nothing at all", () => "", [/the Dockerfile cannot be empty/]],
    ["only ARG", () => "ARG A=b\n", [/dockerfile contains no stages to build/]],
    ["a wrong flag", () => `${shellStage}RUN --nothing=1 true\n`, [/line 3: unknown flag: --nothing/]],
  ];

  for (const [name, text, expected] of cases) {
    test(`with ${name} tells both clients what and where`, async () => {
      writeFileSync(join(context, "Dockerfile"), text());
      const local = ["--local", `context=${context}`, "--local", `dockerfile=${context}`];
      const outputs = await Promise.all([
        daemon.buildx(["build", "--progress=plain", "--provenance=false", context]),
        daemon.buildctl(["build", "--progress=plain", "--frontend=dockerfile.v0", ...local]),
      ]);
      for (const { code, output } of outputs) {
        assert.equal(code, 1, output);
        for (const pattern of expected) assert.match(output, pattern);
        assert.doesNotMatch(output, /\n\s+at .*\.ts:\d/, "no stack of the daemon's");
      }
    });
  }
});
