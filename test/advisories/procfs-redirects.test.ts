import assert from "node:assert/strict";
import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { busyboxContext, shellStage } from "../e2e/support/busybox-context.ts";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { leftoversAfter } from "../e2e/support/leftovers.ts";
import { temporaryFolder } from "../e2e/support/processes.ts";
import { type Solved, solveDockerfile } from "../e2e/support/solve.ts";

const isNightly = process.env["NIGHTLY"] === "1";

/** What a runtime that is led astray in procfs would write to, or to such as these. */
const settings = [
  "kernel/core_pattern",
  "kernel/hostname",
  "kernel/modprobe",
  "vm/overcommit_memory",
  "net/ipv4/ip_forward",
].map((name) => `/proc/sys/${name}`);

/**
 * CVE-2025-52881: by mounts that they share, one step has the runtime of another write its labels or settings to files of
 * procfs that were not meant. The runtime must have nothing to write, and whatever links and mounts are made of what is
 * below /proc, the machine's files stay as they are.
 */
suite("the runtime of a step is not led astray in procfs", () => {
  const folder = temporaryFolder("procfs-redirects");
  const victim = join(folder.path, "victim");
  let daemon: TestDaemon;
  let machine: readonly string[];

  const readSettings = (): string[] =>
    settings.map((path) => `${path}=${existsSync(path) ? readFileSync(path, "utf8") : ""}`);

  before(async () => {
    mkdirSync(victim);
    writeFileSync(join(victim, "canary"), "canary");
    machine = readSettings();
    daemon = await TestDaemon.start(folder.path);
  });

  after(async () => {
    assert.deepEqual(readSettings(), machine);
    assert.deepEqual(readdirSync(victim), ["canary"]);
    assert.equal(readFileSync(join(victim, "canary"), "utf8"), "canary");
    // Nothing was mounted where links led to.
    assert.deepEqual(await leftoversAfter(daemon.root, { timeoutMs: 5000 }), []);
    assert.doesNotMatch(readFileSync("/proc/self/mountinfo", "utf8"), new RegExp(`${victim}|core_pattern`));
    await daemon[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const build = async (lines: string, signal = AbortSignal.timeout(60_000)): Promise<Solved> =>
    await solveDockerfile(daemon, await busyboxContext(folder.path, shellStage + lines), { signal });

  test("CVE-2025-52881: it has no labels and no settings to write", async () => {
    const seen: Record<string, unknown>[] = [];
    const context = await busyboxContext(folder.path, `${shellStage}RUN echo started && while :; do :; done\n`);
    const stop = new AbortController();
    await solveDockerfile(daemon, context, {
      signal: AbortSignal.any([stop.signal, AbortSignal.timeout(60_000)]),
      onProgress: ({ logs }) => {
        if (!logs.includes("started") || stop.signal.aborted) return;
        for (const path of globSync(`${daemon.root}/**/config.json`))
          seen.push(JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>);
        stop.abort(new Error("seen"));
      },
    });
    assert.ok(seen.length > 0);
    for (const { process: run, linux, mounts } of seen) {
      const { apparmorProfile, selinuxLabel } = run as Readonly<Record<string, unknown>>;
      const { sysctl, mountLabel } = linux as Readonly<Record<string, unknown>>;
      assert.deepEqual([apparmorProfile, selinuxLabel, sysctl, mountLabel], Array.from({ length: 4 }));
      // Of what is mounted, nothing goes back to the machine.
      for (const { options = [] } of mounts as readonly { readonly options?: readonly string[] }[])
        assert.ok(!options.some((option) => /^r?shared$/.test(option)), options.join());
    }
  });

  const targets = ["/proc", "/proc/self", "/proc/self/attr", "/proc/self/attr/exec", "/proc/sys", "/proc/sys/kernel"];
  for (const target of targets) {
    test(`CVE-2025-52881: a mount at ${target} is refused, or covers nothing of the machine's`, async () => {
      const mounts = ["type=tmpfs", `type=cache,id=fake`, `type=bind,from=fake,source=/p`];
      const links = ["self", "sys", "attr", "exec"].map((name) => `ln -s ${victim}/canary /p/${name}`).join(" && ");
      const fake = `FROM base AS fake\nRUN mkdir /p && ${links}\nFROM base\n`;
      for (const mount of mounts) {
        const write = `echo changed > ${target}; echo changed > ${target}/kernel/core_pattern; echo changed > ${target}/self`;
        const { error, logs } = await build(
          `${fake}RUN --mount=${mount},target=${target} (${write}) 2>/dev/null; true\n`,
        );
        const text = textOf(error);
        assert.ok(text === "" || /proc|mount|refused|failed/.test(text), `${logs} ${text}`);
      }
    });
  }

  test("CVE-2025-52881: mounts of one step are not moved into procfs by another that shares a cache with it", async () => {
    const racer = new AbortController();
    const cache = "--mount=type=cache,id=shared";
    const links = ["/proc/sys/kernel/core_pattern", "/proc/self/attr/exec", "/proc/sysrq-trigger", `${victim}/canary`];
    const swap = links.map(
      (link) =>
        `ln -sfn ${link} /c/n; mv -T /c/n /c/at 2>/dev/null; rm -rf /c/at; mkdir /c/at 2>/dev/null; rmdir /c/at 2>/dev/null; : > /c/at; rm -f /c/at`,
    );
    const racing = build(
      `RUN ${cache},target=/c echo racing; while :; do ${swap.join("; ")}; done\n`,
      AbortSignal.any([racer.signal, AbortSignal.timeout(120_000)]),
    );
    const attempts = isNightly ? 150 : 8;
    let outcomes = "";
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const inner = [
        "type=tmpfs,target=/c/at",
        "type=cache,id=other,target=/c/at",
        "type=bind,source=Dockerfile,target=/c/at",
      ];
      const run = `${cache},target=/c --mount=${inner[attempt % inner.length]}`;
      const { error } = await build(`RUN ${run} echo ${attempt}; echo 0 > /c/at; echo 0 > /c/at/x; true\n`);
      outcomes += `${textOf(error)}\n`;
    }
    racer.abort(new Error("the race is over"));
    await racing;
    assert.deepEqual(readSettings(), machine);
    assert.equal(readFileSync(join(victim, "canary"), "utf8"), "canary", outcomes);
  });
});

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : "";
}
