import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { before, suite, test } from "node:test";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { repository, temporaryFolder } from "./support/processes.ts";

const dockerfile = `${shellStage}COPY package.json /app/
RUN cat /app/package.json > /app/installed
COPY src /app/src
RUN cat /app/src/* > /app/built
`;

const transcript = join(repository, "docs/explain.md");

/** All that explanations are made from. The history has the options of builds beside it, as BuildKit's has. */
function explainRecords(daemon: TestDaemon): string {
  using database = new DatabaseSync(join(daemon.root, "state.db"), { readOnly: true });
  const rows = ["explain_records", "explain_directories"].map((table) =>
    database.prepare(`SELECT * FROM ${table}`).all(),
  );
  return JSON.stringify(rows, (_key, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : value,
  );
}

suite("buildctl build --explain", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("explain"));
  let daemon: TestDaemon;
  let context: string;
  /** What is shown, by the heading that it has in the documentation. */
  const shown = new Map<string, string>();

  before(async () => {
    daemon = owned.use(await TestDaemon.start(folder.path));
    context = await busyboxContext(folder.path, dockerfile, {
      "package.json": '{ "name": "app" }\n',
      "src/a.ts": "export const a = 1;\n",
      "src/b.ts": "export const b = 2;\n",
    });
  });

  const build = async (...args: string[]): Promise<string> => {
    const flags = ["--frontend", "dockerfile.v0", "--local", `context=${context}`, "--local", `dockerfile=${context}`];
    const { stderr } = await daemon.buildctl(["build", "--progress", "quiet", "--explain", ...flags, ...args]);
    return stderr;
  };
  const edit = (name: string, change: (text: string) => string): void => {
    const path = join(context, name);
    writeFileSync(path, change(readFileSync(path, "utf8")));
  };
  /** Times are other ones each time. */
  const stable = (text: string): string => text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "2026-01-01T12:00:00.000Z");
  const shows = (heading: string, text: string): void => void shown.set(heading, stable(text));

  test("says of a first build that its steps were never seen", async () => {
    const text = await build();
    assert.match(text, /\[2\/5\] COPY package.json \/app\/ \(Dockerfile:3\)\n {4}never seen: /);
    assert.equal(await build(), "All steps were cached.\n");
    shows("Never seen", text);
  });

  test("names the files that changed, and what follows from it", async () => {
    edit("src/a.ts", (text) => text.replace("1", "3"));
    const text = await build();
    assert.match(
      text,
      /COPY src \/app\/src \(Dockerfile:5\)\n {4}files changed: 1 of 2 from .*\n {6}src\/a.ts \(content\)\n/,
    );
    assert.match(text, /RUN cat \/app\/src.*\(Dockerfile:6\)\n {4}input changed: \[4\/5\] COPY src/);
    assert.doesNotMatch(text, /package.json/);
    shows("Files changed", text);
  });

  test("tells a mode from content, and a link's target", async () => {
    chmodSync(join(context, "src/b.ts"), 0o600);
    assert.match(await build(), /files changed: 1 of 2 .*\n {6}src\/b.ts \(mode 0644 → 0600\)\n/);
    edit("src/b.ts", (text) => text.replace("2", "4"));
    chmodSync(join(context, "src/b.ts"), 0o644);
    assert.match(await build(), /files changed: 1 of 2 .*\n {6}src\/b.ts \(content, mode 0600 → 0644\)\n/);
  });

  test("names the step that made others run, with its line", async () => {
    edit("package.json", (text) => text.replace("app", "other"));
    const text = await build();
    assert.match(
      text,
      /RUN cat \/app\/package.json > .*\(Dockerfile:4\)\n {4}input changed: \[2\/5\] COPY package.json \/app\/ \(Dockerfile:3\)\n/,
    );
    // The last step names the first one, not the one between.
    assert.match(text, /RUN cat \/app\/src.*\n {4}input changed: \[2\/5\] COPY package.json/);
    shows("Input changed", text);
  });

  test("shows what of a step changed, and hides what may be a secret", async () => {
    edit("Dockerfile", (text) => text.replace("> /app/built", "> /app/bundle"));
    const text = await build();
    assert.match(
      text,
      /op changed: command: "cat \/app\/src\/\* > \/app\/built" → "cat \/app\/src\/\* > \/app\/bundle"/,
    );
    shows("Op changed", text);
    edit("Dockerfile", (was) => `${was}ARG API_TOKEN\nARG MODE\nRUN echo $MODE\n`);
    await build("--opt", "build-arg:API_TOKEN=hush-1", "--opt", "build-arg:MODE=fast");
    const changed = await build("--opt", "build-arg:API_TOKEN=hush-2", "--opt", "build-arg:MODE=slow");
    assert.match(changed, /op changed: env MODE: "fast" → "slow"/);
    assert.match(changed, /op changed: env API_TOKEN: \(hidden\) → \(hidden\)/);
    assert.doesNotMatch(changed, /hush/);
    const kept = explainRecords(daemon);
    assert.match(kept, /MODE/);
    assert.doesNotMatch(kept, /hush/, "secrets are not kept");
  });

  test("says that the cache was disabled", async () => {
    const text = await build("--no-cache");
    assert.match(text, /RUN cat \/app\/package.json.*\n {4}cache disabled: /);
    shows("Cache disabled", text);
  });

  test("says that a record was pruned", async () => {
    await build();
    await daemon.buildctl(["prune", "--all"]);
    const text = await build();
    assert.match(text, /RUN cat \/app\/package.json.*\n {4}record was pruned: the result of .* was removed at /);
    assert.doesNotMatch(text, /never seen|input changed/);
    shows("Record was pruned", text);
  });

  test("can be asked for later, and by programs", async () => {
    edit("src/a.ts", (text) => `${text}\n`);
    const refFile = join(folder.path, "ref");
    const text = await build("--ref-file", refFile);
    const ref = readFileSync(refFile, "utf8").trim();
    assert.equal((await daemon.buildctl(["debug", "explain", ref])).stdout, text);
    const { stdout } = await daemon.buildctl(["debug", "explain", "--format", "json", ref]);
    const { steps } = JSON.parse(stdout) as {
      readonly steps: readonly { readonly reason: string; readonly root: string }[];
    };
    assert.ok(steps.some(({ reason }) => reason === "files-changed"));
    assert.ok(steps.some(({ reason, root }) => reason === "input-changed" && root === "files-changed"));
  });

  test("shows lines in the log of other clients' builds that ask for them", async () => {
    edit("src/a.ts", (text) => `${text}\n`);
    const flags = ["--frontend", "dockerfile.v0", "--local", `context=${context}`, "--local", `dockerfile=${context}`];
    const plain = ["build", "--progress", "plain", "--opt", "build-arg:BUILDKIT_EXPLAIN=1", ...flags];
    const { stderr } = await daemon.buildctl(plain);
    assert.match(stderr, /cache miss: files changed: 1 of 2/);
    assert.doesNotMatch((await daemon.buildctl(plain)).stderr, /cache miss/);
  });

  test("is there for docker buildx", async () => {
    edit("src/a.ts", (text) => `${text}\n`);
    const { code, output } = await daemon.buildx([
      "build",
      "--progress",
      "plain",
      "--build-arg",
      "BUILDKIT_EXPLAIN=1",
      context,
    ]);
    assert.equal(code, 0, output);
    assert.match(output, /cache miss: files changed: 1 of 2/);
    assert.match(output, /cache miss: {3}src\/a.ts \(content\)/);
  });

  test("is documented as it is", () => {
    mkdirSync(join(repository, "docs"), { recursive: true });
    const text = documentation(shown);
    if (process.env["UPDATE_DOCS"] === "1") writeFileSync(transcript, text);
    assert.equal(readFileSync(transcript, "utf8"), text, "run this test with UPDATE_DOCS=1");
  });
});

function documentation(shown: ReadonlyMap<string, string>): string {
  const parts = [...shown].map(
    ([heading, text]) => `## ${heading}\n\n${introductions[heading] ?? ""}\n\n\`\`\`text\n${text}\`\`\`\n`,
  );
  return `${preface}\n${parts.join("\n")}`;
}

const preface = `# Why did my cache miss?

\`buildctl build --explain\` says after a build why each step was executed. Nothing has to be switched on before: the daemon keeps
what every cache key is made of, and compares with the nearest earlier record of the same step.

- \`buildctl debug explain REF\` says it later, of any build in the history; with \`--format json\` for programs.
- \`docker buildx build --build-arg BUILDKIT_EXPLAIN=1\` (any client's build with that argument) has the same lines in the log of each step.

The examples are builds of this Dockerfile, one after the other. A test makes them, and this page.

\`\`\`dockerfile
${dockerfile.trimEnd()}
\`\`\`
`;

const introductions: Readonly<Record<string, string>> = {
  "Never seen": "The first build. Nothing like these steps was built before.",
  "Files changed":
    "`src/a.ts` was edited. Of files it is told whether their content, mode, owner or link target changed.",
  "Input changed": "`package.json` was edited. Steps further down name the step at the bottom, with its line.",
  "Op changed": "The last line of the Dockerfile was edited. Values of variables that look like secrets are hidden.",
  "Cache disabled": "A build with `--no-cache`.",
  "Record was pruned": "A build after `buildctl prune --all`.",
};
