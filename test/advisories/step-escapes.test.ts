import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { busyboxContext, shellStage } from "../e2e/support/busybox-context.ts";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { leftoversAfter } from "../e2e/support/leftovers.ts";
import { temporaryFolder } from "../e2e/support/processes.ts";
import { type Solved, solveDockerfile, solveOk } from "../e2e/support/solve.ts";

const isNightly = process.env["NIGHTLY"] === "1";

/** Steps that try to reach the machine by paths: none may see or change a file of ours that lies beside the daemon's root. */
suite("a step stays in its container", () => {
  const folder = temporaryFolder("step-escapes");
  const victim = join(folder.path, "victim");
  const canary = "c4nary-of-the-machine";
  let daemon: TestDaemon;

  before(async () => {
    mkdirSync(join(victim, "stub/inner"), { recursive: true });
    writeFileSync(join(victim, "canary"), canary);
    writeFileSync(join(victim, "stub/empty"), "");
    daemon = await TestDaemon.start(folder.path);
  });

  after(async () => {
    assert.deepEqual(await leftoversAfter(daemon.root, { timeoutMs: 5000 }), []);
    await daemon[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const build = async (lines: string, attributes: Readonly<Record<string, string>> = {}): Promise<Solved> =>
    await solveDockerfile(daemon, await busyboxContext(folder.path, shellStage + lines), { attributes });
  const buildOk = async (lines: string): Promise<Solved> =>
    await solveOk(daemon, await busyboxContext(folder.path, shellStage + lines));
  const assertIntact = (): void => {
    assert.equal(readFileSync(join(victim, "canary"), "utf8"), canary);
    assert.deepEqual(readdirSync(victim, { recursive: true }).toSorted(), [
      "canary",
      "stub",
      "stub/empty",
      "stub/inner",
    ]);
  };

  test("CVE-2024-21626: it has three open files", async () => {
    const { logs } = await buildOk("RUN ls /proc/$$/fd; echo end\n");
    assert.equal(logs, "0\n1\n2\nend\n");
  });

  const descriptors = isNightly ? Array.from({ length: 62 }, (_, index) => index + 3) : [3, 7, 8, 9, 20];
  const places: readonly (readonly [what: string, lines: string])[] = [
    ...descriptors.map((fd) => [`/proc/self/fd/${fd}`, `WORKDIR /proc/self/fd/${fd}\n`] as const),
    ["/proc/self/fd/7 by a link of the image", "RUN ln -s /proc/self/fd/7 /link\nWORKDIR /link\n"],
    ["/proc/self/fd/7 by a relative link", "RUN mkdir /a && ln -s ../proc/self/fd/7 /a/link\nWORKDIR /a/link\n"],
    ["/dev/fd/7", "WORKDIR /dev/fd/7\n"],
    ["above /proc/self/fd/7", "RUN ln -s //proc/./self/fd/7/../../.. /link\nWORKDIR /link\n"],
    [
      "/proc/self/fd/7 where the image has links",
      "FROM base AS x\nRUN mkdir /p && ln -s /etc /p/self\nFROM base\nCOPY --from=x /p /proc\nWORKDIR /proc/self/fd/7\n",
    ],
    ["/proc/1/root", "WORKDIR /proc/1/root\n"],
    ["/proc/self/cwd", "WORKDIR /proc/self/cwd\n"],
  ];
  for (const [what, lines] of places) {
    test(`CVE-2024-21626: its working directory cannot be ${what}`, async () => {
      const up = "../".repeat(12);
      const solved = await build(`${lines}RUN ls -d . && cat ${up}${victim.slice(1)}/canary\n`);
      const expected = /fd/.test(what)
        ? /Cannot use working directory .*: it leads through an open file/
        : /exit code: 1/;
      assert.match(String(solved.error), expected);
      assert.equal(solved.logs.includes(canary), false);
      assertIntact();
    });
  }

  test("CVE-2024-21626: neither a user nor a mount is looked up through a descriptor", async () => {
    const passwd =
      "RUN mkdir -p /etc && ln -s /proc/self/fd/7/../../../../etc/passwd /etc/passwd\nUSER nobody\nRUN id\n";
    assert.match(String((await build(passwd)).error), /unable to find user nobody/);
    const mount = `RUN --mount=type=cache,target=/proc/self/fd/7/x true\n`;
    assert.notEqual((await build(mount)).error, undefined);
    const volume = await build(`VOLUME /proc/self/fd/7\nRUN ls /proc/self/fd/7/../../../../${victim}\n`);
    assert.equal(volume.logs.includes("canary"), false);
    assertIntact();
  });

  test("CVE-2024-23651: a part of a cache that turns into a link while it is mounted leads nowhere else", async () => {
    const racer = new AbortController();
    const cache = "--mount=type=cache,id=race";
    const racing = solveDockerfile(
      daemon,
      await busyboxContext(
        folder.path,
        `${shellStage}RUN ${cache},target=/c mkdir -p /c/dir && echo inside > /c/dir/file && echo racing && while :; do ln -sfn ${victim} /c/n; mv -T /c/n /c/sub 2>/dev/null; rm -f /c/sub; mkdir /c/sub 2>/dev/null; rmdir /c/sub; ln -s dir /c/sub; rm /c/sub; done\n`,
      ),
      { signal: AbortSignal.any([racer.signal, AbortSignal.timeout(60_000)]) },
    );
    let seen = "";
    const attempts = isNightly ? 200 : 12;
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const { logs, error } = await build(
        `RUN ${cache},source=sub,target=/m echo ${attempt} && ls -a /m && cat /m/canary\n`,
      );
      assert.equal(logs.includes(canary), false, logs);
      seen += `${logs} ${String(error)}\n`;
    }
    racer.abort(new Error("the race is over"));
    await racing;
    assert.match(seen, /no such file or directory|exit code: 1/);
    assertIntact();
  });

  test("CVE-2024-23652: what is cleaned up after it is not behind a link that it made", async () => {
    const mounts = "--mount=type=cache,target=/a/stub/inner --mount=type=bind,source=Dockerfile,target=/a/stub/empty";
    await buildOk(`RUN ${mounts} mv /a /away && ln -s ${victim} /a\n`);
    await buildOk(`RUN ${mounts} mv /a /away && ln -s ../../../../../../../..${victim} /a\n`);
    assertIntact();
  });

  test("CVE-2024-1753: the source of a mount or of a copy is a link to the machine's root", async () => {
    const evil = `FROM base AS evil\nRUN ln -s / /root && ln -s ${victim} /abs && ln -s ../../../../../../../..${victim} /up\n`;
    for (const source of ["/root", "/abs", "/up", `/root${victim}`, "/root/../..", "/proc/1/root"]) {
      const step = await build(
        `${evil}FROM base\nRUN --mount=from=evil,source=${source},target=/m ls -a /m /m/..; cat /m/canary\n`,
      );
      assert.notEqual(step.error, undefined);
      assert.equal(step.logs.includes(canary), false);
      const copied = await build(`${evil}FROM base\nCOPY --from=evil ${source} /m/\nRUN cat /m/canary\n`);
      assert.notEqual(copied.error, undefined);
      assert.equal(copied.logs.includes(canary), false);
    }
    assertIntact();
  });

  test("CVE-2024-9407: a mount takes no options but its own", async () => {
    for (const option of [
      "bind-propagation=rshared",
      "propagation=shared",
      "options=dev",
      "z",
      "sharing=locked:rshared",
      "size=1,mode=0777",
      "source=/,upperdir=/x",
    ]) {
      const { error } = await build(`RUN --mount=type=bind,target=/m,${option} true\n`);
      assert.match(String(error), /unexpected key|invalid|unsupported|must be|unknown/, option);
    }
    const { error } = await build("RUN --mount=type=tmpfs,target=/m,size=1k:mode=777 true\n");
    assert.match(String(error), /invalid/);
  });

  test("CVE-2024-9675, CVE-2024-11218: the id of a cache is no path", async () => {
    const before = readdirSync(folder.path).toSorted();
    const ids = ["../../../../../escaped", join(victim, "escaped"), "..", ".", "a/b", "x".repeat(4096), "\u202e"];
    for (const [index, id] of ids.entries()) {
      const mount = `--mount=type=cache,id=${id},target=/c`;
      await buildOk(`RUN ${mount} echo ${index} > /c/kept\nRUN ${mount} [ $(cat /c/kept) = ${index} ]\n`);
    }
    const now = readdirSync(folder.path).filter((name) => !name.startsWith("context-"));
    assert.deepEqual(
      now.toSorted(),
      before.filter((name) => !name.startsWith("context-")),
    );
    assert.equal(existsSync(join(daemon.root, "escaped")), false);
    assertIntact();
  });

  test("CVE-2025-31133, CVE-2025-52565: it does not choose what is masked, nor its terminal", async () => {
    // Opened and not written to: where this fails, it is the machine's.
    const sealed = [
      "/proc/sys/kernel/core_pattern",
      "/proc/sysrq-trigger",
      "/proc/irq/default_smp_affinity",
      "/sys/kernel/profiling",
    ];
    const { logs } = await buildOk(
      `RUN for f in ${sealed.join(" ")}; do (: >> $f) 2>/dev/null || echo sealed $f; done; head -c 1 /proc/kcore | wc -c\n`,
    );
    for (const path of sealed) assert.match(logs, new RegExp(`^sealed ${path}$`, "m"));
    assert.match(logs, /^0$/m);
    for (const target of ["/proc", "/proc/sys", "/dev/pts", "/sys/fs/cgroup"]) {
      const solved = await build(`RUN --mount=type=cache,target=${target} ls ${target}\n`);
      assert.equal(solved.logs.includes("canary"), false);
    }
    assertIntact();
  });
});
