import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { type FrontendClient, inClient } from "@buildkit-ts/frontend";
import { local, type State, scratch } from "@buildkit-ts/llb";
import { busyboxContext, shellStage } from "../e2e/support/busybox-context.ts";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { leftoversAfter } from "../e2e/support/leftovers.ts";
import { ownedBySuite } from "../e2e/support/owned-by-suite.ts";
import { temporaryFolder } from "../e2e/support/processes.ts";
import { type Solved, solve, solveDockerfile, solveOk } from "../e2e/support/solve.ts";

const isNightly = process.env["NIGHTLY"] === "1";

/** The daemon reads some files of images itself: those that an image makes large, endless or links. */
suite("files of images that the daemon reads", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("image-files"));
  const secret = "c4nary-of-the-machine";
  const victim = join(folder.path, "victim");
  const signal = AbortSignal.timeout(120_000);
  let daemon: TestDaemon;
  let context: string;

  before(async () => {
    mkdirSync(victim);
    writeFileSync(join(victim, "canary"), secret);
    context = await busyboxContext(folder.path, "");
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  const base = (): State =>
    scratch().copy(local("context"), { src: "/busybox", dest: "/bin/sh" }, { createDestPath: true });
  /** Does something as the frontend of a build. */
  const within = async (work: (client: FrontendClient) => Promise<void>): Promise<void> => {
    const run = inClient(async (client) => {
      await work(client);
      return { ref: undefined, refs: new Map(), metadata: new Map() };
    });
    const { error } = await solve(daemon, { signal, run, directories: { context } });
    assert.ifError(error);
  };
  const buildAs = async (lines: string): Promise<Solved> =>
    await solveDockerfile(daemon, await busyboxContext(folder.path, `${shellStage}${lines}\n`));

  const strange: readonly (readonly [what: string, make: string, expected: RegExp])[] = [
    ["a FIFO", "mkfifo /etc/passwd", /unable to find user nobody/],
    ["a device that never ends", "mknod /etc/passwd c 1 5", /unable to find user nobody/],
    ["a directory", "mkdir /etc/passwd", /unable to find user nobody/],
    ["a link to the machine's", `ln -s ${victim}/canary /etc/passwd`, /unable to find user nobody/],
    ["a link to itself", "ln -s passwd /etc/passwd", /unable to find user nobody/],
    ["ten gigabytes long", "dd if=/dev/zero of=/etc/passwd bs=1 count=1 seek=10000000000", /exceeds 10485760 bytes/],
    ["one line of nine megabytes", "head -c 9000000 /dev/zero | tr '\\0' : > /etc/passwd", /unable to find user/],
  ];
  for (const [what, make, expected] of strange) {
    test(`/etc/passwd that is ${what} is read in no time and little memory, if at all`, async () => {
      const before = process.hrtime.bigint();
      const { error } = await buildAs(`RUN mkdir -p /etc && ${make}\nUSER nobody\nRUN true`);
      assert.match(String(error), expected);
      assert.ok(process.hrtime.bigint() - before < 60_000_000_000n);
    });
  }

  test("a step whose runtime waits for a FIFO can be given up", {
    skip: !isNightly && "it takes a while",
  }, async () => {
    const lines = `${shellStage}RUN mkdir -p /etc && mkfifo /etc/passwd\nUSER 5:6\nRUN true\n`;
    const limited = AbortSignal.timeout(6000);
    const { error } = await solveDockerfile(daemon, await busyboxContext(folder.path, lines), { signal: limited });
    assert.match(String(error), /timeout/);
    assert.deepEqual(await leftoversAfter(daemon.root, { timeoutMs: 30_000 }), []);
  });

  test("a FIFO, a device or a link where a frontend reads a file is an error or the image's own", async () => {
    await within(async (client) => {
      const make = `mkdir /d && cd /d && mkfifo fifo && mknod zero c 1 5 && mknod disk b 8 0 && ln -s ${victim}/canary link && ln -s /d/real inner && echo real > real`;
      const { ref } = await client.solve({ definition: base().run(make).marshal() }, { signal });
      assert.ok(ref !== undefined);
      for (const name of ["fifo", "zero", "disk"])
        await assert.rejects(ref.readFile(`/d/${name}`, { signal }), /./, name);
      await assert.rejects(ref.readFile("/d/link", { signal }), /no such file/);
      assert.equal(Buffer.from(await ref.readFile("/d/inner", { signal })).toString(), "real\n");
    });
  });

  test("CVE-2026-41568: a file that turns into a link while a client reads it from a container is the container's", async () => {
    await within(async (client) => {
      const { ref } = await client.solve({ definition: base().marshal() }, { signal });
      assert.ok(ref !== undefined);
      await using container = await client.openContainer({ mounts: [{ target: "/", ref }] }, { signal });
      const racing = Promise.withResolvers<void>();
      const script = `mkdir -p /r/d && echo inside > /r/d/canary && echo go && while :; do ln -sfn ${victim} /r/n; mv -T /r/n /r/x; rm /r/x; ln -s d /r/x; rm /r/x; mkdir /r/x; rmdir /r/x; done`;
      const racer = await container.start(
        { args: ["/bin/sh", "-c", script], onStdout: () => racing.resolve() },
        { signal },
      );
      await racing.promise;
      const seen = new Set<string>();
      for (let attempt = 0; attempt < 60; attempt += 1) {
        try {
          seen.add(Buffer.from(await container.readFile("/r/x/canary", { signal })).toString());
        } catch (error) {
          seen.add(BuildError.from(error).message.replace(/.*: /, ""));
        }
        await container.readDirectory("/r/x", { signal }).then(
          (entries) => entries.forEach(({ path }) => seen.add(`entry ${path}`)),
          () => undefined,
        );
      }
      await racer.signal("SIGKILL");
      for (const text of seen)
        assert.match(text, /^(?:inside\n|entry canary|no such file or directory|not a directory)$/);
    });
    assert.equal(readFileSync(join(victim, "canary"), "utf8"), secret);
  });

  test("a tree deeper than any path can be made and deleted, and is told of where it cannot be copied", async () => {
    // Entered in two parts, since no path to its end can be named at once.
    const part = `${"d".repeat(250)}/`.repeat(10);
    const deep = `RUN mkdir /t && cd /t && for i in 1 2; do mkdir -p ${part} && cd ${part}; done; echo x > file\n`;
    assert.equal((await buildAs(`${deep}RUN true`)).error, undefined);
    const copied = await buildAs(`${deep}FROM scratch\nCOPY --from=base /t /t`);
    assert.match(String(copied.error), /name too long|ENAMETOOLONG/);
    await daemon.buildctlOk(["prune", "--all"]);
    assert.equal((await buildAs("RUN echo alive")).logs, "alive\n");
    assert.doesNotMatch(daemon.log(), /RangeError|Maximum call stack/);
  });

  test("CVE-2023-25173: a process is in the groups that BuildKit puts it into", async () => {
    const passwd = [
      "root:x:0:0:root:/root:/bin/sh",
      "alice:x:1000:1000::/:/bin/sh",
      "bob:x:1001:50::/:/bin/sh",
      "nogroup:x:1002:7777::/:/bin/sh",
      "twice:x:1003:1003::/:/bin/sh",
      "twice:x:1004:1004::/:/bin/sh",
      "dup:x:1000:4000::/:/bin/sh",
    ];
    const group = [
      "root:x:0:",
      "wheel:x:10:root,alice",
      "staff:x:50:alice,bob",
      "alice:x:1000:",
      "video:x:44:alice,twice",
      "again:x:44:alice",
      "bad:x:notanumber:alice",
      "short:x:60",
      "empty:x:61:",
      "dup:x:62:dup",
    ];
    // What a daemon of BuildKit's master of September 2026 gave for these files: uid, gid, all groups.
    const expected = {
      root: "0 0 0 10",
      alice: "1000 1000 1000 0 10 44 50",
      bob: "1001 50 50",
      nogroup: "1002 7777 7777",
      twice: "1003 1003 1003 44",
      dup: "1000 4000 4000 62",
      "1000": "1000 1000 1000 0 10 44 50",
      "1001": "1001 50 50",
      "1999": "1999 0 0",
      "alice:staff": "1000 50 50",
      "alice:1234": "1000 1234 1234",
      "alice:": "1000 1000 1000 0 10 44 50",
      "1000:1000": "1000 1000 1000",
      "1000:staff": "1000 50 50",
      "1999:10": "1999 10 10",
      "0": "0 0 0 10",
      "0:0": "0 0 0",
      "root:wheel": "0 10 10",
      ":staff": "0 50 50",
    };
    const stages = Object.keys(expected).map(
      (user, index) => `FROM files AS s${index}\nUSER ${user}\nRUN echo "${user} = $(id -u) $(id -g) $(id -G)"\n`,
    );
    const all = Object.keys(expected).map((_user, index) => `COPY --from=s${index} /etc/group /${index}\n`);
    const dockerfile = `${shellStage}FROM base AS files\nCOPY passwd group /etc/\n${stages.join("")}FROM files\n${all.join("")}`;
    const files = { passwd: `${passwd.join("\n")}\n`, group: `${group.join("\n")}\n` };
    const { logs } = await solveOk(daemon, await busyboxContext(folder.path, dockerfile, files));
    const seen = logs.match(/^\S+ = .*$/gm)?.toSorted();
    assert.deepEqual(
      seen,
      Object.entries(expected)
        .map(([user, ids]) => `${user} = ${ids}`)
        .toSorted(),
    );
  });
});
