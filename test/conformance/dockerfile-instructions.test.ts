import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, suite, test } from "node:test";
import { pushBaseImage } from "../e2e/support/base-image.ts";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { gitIn, HttpGitServer, makeRepository } from "../e2e/support/git-servers.ts";
import { runOk, temporaryFolder } from "../e2e/support/processes.ts";
import { TestRegistry } from "../e2e/support/registry.ts";
import { BuiltImage, type InspectedConfig } from "./support/built-image.ts";
import { type FileServer, serveFiles } from "./support/file-server.ts";

interface Case {
  readonly name: string;
  /** Without a FROM, the lines stand on the base image. */
  readonly lines: readonly string[];
  readonly files?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  /** What the config must have; members that are undefined must not be there. */
  readonly config?: Partial<Record<keyof InspectedConfig, unknown>>;
  /** `mode owner/group` by path; undefined must not be there. */
  readonly entries?: Readonly<Record<string, string | undefined>>;
  readonly texts?: Readonly<Record<string, string>>;
}

const second = 1_000_000_000;

const metadata: readonly Case[] = [
  {
    name: "ENV in both forms, with expansion",
    lines: ["ENV A=1 B='x y'", "ENV C $A-$B"],
    config: { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1", "B=x y", "C=1-x y"] },
  },
  {
    name: "ARG, which no image has",
    lines: ["ARG A=1", "ARG B", "LABEL a=$A b=$B"],
    args: ["--build-arg", "B=2"],
    config: { Labels: { a: "1", b: "2" }, Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] },
  },
  {
    name: "LABEL, with those of the client",
    lines: ['LABEL a="1 2" b=3'],
    args: ["--label", "c=4"],
    config: { Labels: { a: "1 2", b: "3", c: "4" } },
  },
  {
    name: "all modifiers of an expansion",
    lines: [
      "ENV V=archive.tar.gz E=",
      "LABEL a=${V#*.} b=${V##*.} c=${V%.*} d=${V%%.*} e=${V/tar/x} f=${V//a/o} g=${E:-no} h=${E-yes} i=${V:+set} j=${U+set}",
    ],
    config: {
      Labels: {
        a: "tar.gz",
        b: "gz",
        c: "archive.tar",
        d: "archive",
        e: "archive.x.gz",
        f: "orchive.tor.gz",
        g: "no",
        h: "",
        i: "set",
        j: "",
      },
    },
  },
  { name: "CMD as JSON and as a shell's", lines: ['CMD ["a", "b c"]'], config: { Cmd: ["a", "b c"] } },
  {
    name: "CMD for the shell that SHELL names",
    lines: ['SHELL ["/bin/ash", "-ec"]', "CMD echo $HOME"],
    config: { Cmd: ["/bin/ash", "-ec", "echo $HOME"], Shell: ["/bin/ash", "-ec"] },
  },
  {
    name: "ENTRYPOINT, which resets the base's CMD",
    lines: ['ENTRYPOINT ["/run"]'],
    config: { Entrypoint: ["/run"], Cmd: undefined },
  },
  {
    name: "EXPOSE of ports, ranges and protocols",
    lines: ["EXPOSE 80 443/udp", "EXPOSE 9000-9002/sctp"],
    config: { ExposedPorts: { "80/tcp": {}, "443/udp": {}, "9000/sctp": {}, "9001/sctp": {}, "9002/sctp": {} } },
  },
  {
    name: "VOLUME in both forms",
    lines: ["VOLUME /a /b", 'VOLUME ["/c"]'],
    config: { Volumes: { "/a": {}, "/b": {}, "/c": {} } },
  },
  { name: "STOPSIGNAL", lines: ["STOPSIGNAL SIGUSR1"], config: { StopSignal: "SIGUSR1" } },
  {
    name: "USER with a group",
    lines: ["USER nobody:nogroup", "RUN id -un > /tmp/who"],
    config: { User: "nobody:nogroup" },
    texts: { "tmp/who": "nobody\n" },
  },
  {
    name: "WORKDIR, relative to the one before, made where it is missing",
    lines: ["WORKDIR /a", "WORKDIR b/../c", "RUN pwd > pwd"],
    config: { WorkingDir: "/a/c" },
    entries: { "a/c": "drwxr-xr-x 0/0" },
    texts: { "a/c/pwd": "/a/c\n" },
  },
  {
    name: "HEALTHCHECK with every flag",
    lines: ['HEALTHCHECK --interval=5s --timeout=1m --start-period=2s --start-interval=1s --retries=4 CMD ["true"]'],
    config: {
      Healthcheck: {
        Test: ["CMD", "true"],
        Interval: 5 * second,
        Timeout: 60 * second,
        StartPeriod: 2 * second,
        StartInterval: second,
        Retries: 4,
      },
    },
  },
  {
    name: "HEALTHCHECK NONE",
    lines: ["HEALTHCHECK CMD a", "HEALTHCHECK NONE"],
    config: { Healthcheck: { Test: ["NONE"] } },
  },
  {
    name: "ONBUILD, kept for those who build on it",
    lines: ["ONBUILD RUN touch /x", "ONBUILD ENV A=b"],
    config: { OnBuild: ["RUN touch /x", "ENV A=b"] },
    entries: { x: undefined },
  },
  {
    name: "ONBUILD, run by a stage that builds on it",
    lines: ["FROM $BASE AS a", "ONBUILD RUN touch /x", "ONBUILD ENV A=b", "FROM a"],
    config: { OnBuild: undefined },
    entries: { x: "-rw-r--r-- 0/0" },
  },
  { name: "MAINTAINER", lines: ["MAINTAINER me"], config: { User: undefined } },
];

const copying: readonly Case[] = [
  {
    name: "COPY of files and directories",
    lines: ["COPY a.txt dir /d/"],
    entries: { "d/a.txt": "-rw-r--r-- 0/0", "d/b.txt": "-rw-r--r-- 0/0", "d/sub/c.txt": "-rw-r--r-- 0/0" },
  },
  {
    name: "COPY as JSON, of a name with a blank",
    lines: ['COPY ["a name", "/a copy"]'],
    texts: { "a copy": "named\n" },
  },
  {
    name: "COPY of a wildcard",
    lines: ["COPY d*/*.txt /d/"],
    entries: { "d/b.txt": "-rw-r--r-- 0/0", "d/sub": undefined },
  },
  {
    name: "COPY of a here-document, expanded or not",
    lines: ["ARG A=1", "COPY <<E /x", "a $A", "E", "COPY <<'E' /y", "a $A", "E", "COPY <<-E /z", "\ttabs", "E"],
    texts: { x: "a 1\n", y: "a $A\n", z: "tabs\n" },
  },
  {
    name: "COPY --chown by name and number",
    lines: ["COPY --chown=nobody:5 a.txt /x"],
    entries: { x: "-rw-r--r-- 65534/5" },
  },
  { name: "COPY --chmod with bits", lines: ["COPY --chmod=4750 a.txt /x"], entries: { x: "-rwsr-x--- 0/0" } },
  {
    name: "COPY --chmod in symbols",
    lines: ["COPY --chmod=u=rwX,go=,g+r dir /d"],
    entries: { "d/sub": "drwxr----- 0/0", "d/b.txt": "-rw-r----- 0/0" },
  },
  {
    name: "COPY --link upon a link",
    lines: ["RUN mkdir /real && ln -s real /alias", "COPY --link a.txt /real/"],
    entries: { "real/a.txt": "-rw-r--r-- 0/0" },
  },
  {
    name: "COPY --parents, with and without a pivot",
    lines: ["COPY --parents dir/sub/c.txt /p/", "COPY --parents dir/./sub/c.txt /q/"],
    entries: { "p/dir/sub/c.txt": "-rw-r--r-- 0/0", "q/sub/c.txt": "-rw-r--r-- 0/0", "q/dir": undefined },
  },
  {
    name: "COPY --exclude, more than once",
    lines: ["COPY --exclude=sub --exclude=*.md dir /d"],
    entries: { "d/b.txt": "-rw-r--r-- 0/0", "d/sub": undefined, "d/r.md": undefined },
  },
  {
    name: "COPY --from a stage, a number and an image",
    lines: [
      "FROM scratch AS s",
      "COPY a.txt /a",
      "FROM $BASE",
      "COPY --from=s /a /1",
      "COPY --from=0 /a /2",
      "COPY --from=$BASE /etc/group /3",
    ],
    texts: { "1": "a\n", "2": "a\n" },
    entries: { "3": "-rw-r--r-- 0/0" },
  },
  {
    name: "COPY without what .dockerignore names",
    lines: ["COPY . /c"],
    files: { ".dockerignore": "**/*.md\n!dir/keep.md\n" },
    entries: { "c/dir/r.md": undefined, "c/dir/b.txt": "-rw-r--r-- 0/0" },
  },
  {
    name: "ADD, which unpacks archives of every compression",
    lines: ["ADD t.tar /t0", "ADD t.tar.gz /t1/", "ADD t.tar.bz2 /t2/", "ADD t.tar.xz /t3/", "ADD t.tar.zst /t4/"],
    texts: {
      "t0/in/file": "packed\n",
      "t1/in/file": "packed\n",
      "t2/in/file": "packed\n",
      "t3/in/file": "packed\n",
      "t4/in/file": "packed\n",
    },
  },
  {
    name: "ADD --unpack=false, which does not",
    lines: ["ADD --unpack=false t.tar /t/"],
    entries: { "t/t.tar": "-rw-r--r-- 0/0", "t/in": undefined },
  },
  {
    name: "ADD with owner, mode, link and exclusion",
    lines: ["ADD --chown=1:2 --chmod=600 --link --exclude=sub dir /d"],
    entries: { "d/b.txt": "-rw------- 1/2", "d/sub": undefined },
  },
];

const running: readonly Case[] = [
  {
    name: "RUN as JSON, without a shell",
    lines: ['RUN ["/bin/touch", "/a b$HOME"]'],
    entries: { "a b$HOME": "-rw-r--r-- 0/0" },
  },
  {
    name: "RUN of a here-document, of one with its own shell, and of one that is another's input",
    lines: [
      "RUN <<E",
      "echo 1 > /1",
      "echo 2 > /2",
      "E",
      "RUN <<E",
      "#!/bin/sh -e",
      "echo $0 > /3",
      "E",
      "RUN cat > /4 <<E",
      "in $PATH",
      "E",
    ],
    texts: { "1": "1\n", "2": "2\n" },
    entries: { "3": "-rw-r--r-- 0/0", "4": "-rw-r--r-- 0/0" },
  },
  {
    name: "RUN with the shell that SHELL names",
    lines: ['SHELL ["/bin/echo", "shell:"]', "RUN words", 'SHELL ["/bin/sh", "-c"]', "RUN echo back > /x"],
    texts: { x: "back\n" },
  },
  {
    name: "RUN --mount=type=bind, read-only and of the context",
    lines: ["RUN --mount=type=bind,target=/c cp /c/a.txt /x && ! touch /c/y"],
    texts: { x: "a\n" },
    entries: { c: undefined },
  },
  {
    name: "RUN --mount=type=bind,rw, whose changes are dropped",
    lines: ["RUN --mount=type=bind,source=dir,target=/c,rw touch /c/y && ls /c > /x"],
    texts: { x: "b.txt\nr.md\nsub\ny\n" },
    entries: { "c/y": undefined },
  },
  {
    name: "RUN --mount from a stage, relative to WORKDIR",
    lines: [
      "FROM scratch AS s",
      "COPY a.txt /in/a",
      "FROM $BASE",
      "WORKDIR /w",
      "RUN --mount=from=s,src=/in,dst=m cp m/a /x",
    ],
    texts: { x: "a\n" },
  },
  {
    name: "RUN --mount=type=cache, with owner, mode and seed",
    lines: [
      "RUN --mount=type=cache,id=k1,target=/c,uid=3,gid=4,mode=0750 stat -c '%a %u %g' /c > /x",
      "RUN --mount=type=cache,id=k2,target=/c,from=$BASE,source=/etc cp /c/group /y",
      "RUN --mount=type=cache,id=k3,sharing=locked,target=/c touch /c/z",
      "RUN --mount=type=cache,id=k3,sharing=shared,target=/c,readonly ls /c > /z",
    ],
    texts: { x: "750 3 4\n", z: "z\n" },
    entries: { y: "-rw-r--r-- 0/0", "c/z": undefined },
  },
  {
    name: "RUN --mount=type=tmpfs with a size",
    lines: ["RUN --mount=type=tmpfs,target=/t,size=1m df -k /t | tail -1 | awk '{print $2}' > /x"],
    texts: { x: "1024\n" },
  },
  {
    name: "RUN --mount=type=secret as a file and a variable",
    lines: [
      "RUN --mount=type=secret,id=s,mode=0444,uid=7,target=/run/x stat -c '%a %u' /run/x > /x && cat /run/x >> /x",
      'RUN --mount=type=secret,id=s,env=S test "$S" = hidden',
      "RUN --mount=type=secret,id=none test ! -e /run/secrets/none",
    ],
    args: ["--secret", "id=s,env=CONFORMANCE_SECRET"],
    texts: { x: "444 7\nhidden" },
    entries: { "run/x": undefined },
  },
  { name: "RUN --network=none", lines: ["RUN --network=none ls /sys/class/net > /x"], texts: { x: "lo\n" } },
  {
    name: "RUN --security=sandbox",
    lines: ["RUN --security=sandbox grep -q '^CapEff:.*00000000a80' /proc/self/status"],
  },
  {
    name: "every platform argument",
    lines: ["ARG TARGETPLATFORM", "ARG TARGETOS", "ARG BUILDPLATFORM", "RUN echo $TARGETPLATFORM $TARGETOS > /x"],
    args: ["--platform", "linux/amd64"],
    texts: { x: "linux/amd64 linux\n" },
  },
  {
    name: "proxies as arguments, of which nothing remains",
    lines: ["RUN echo $HTTP_PROXY $no_proxy > /x"],
    args: ["--build-arg", "HTTP_PROXY=http://p", "--build-arg", "no_proxy=n"],
    texts: { x: "http://p n\n" },
    config: { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] },
  },
  {
    name: "hosts, shared memory and limits of the client",
    lines: [
      "RUN grep -c '1.2.3.4.*over' /etc/hosts > /x && df -k /dev/shm | tail -1 | awk '{print $2}' >> /x && ulimit -n >> /x",
    ],
    args: ["--add-host", "over:1.2.3.4", "--shm-size", "2m", "--ulimit", "nofile=99:99"],
    texts: { x: "1\n2048\n99\n" },
  },
  {
    name: "a named context in the place of an image and a directory",
    lines: ["FROM other", "COPY --from=files b.txt /x"],
    args: ["--build-context", "other=docker-image://$BASE", "--build-context", "files=$CONTEXT/dir"],
    texts: { x: "b\n" },
  },
  {
    name: "one stage of several by --target",
    lines: ["FROM $BASE AS a", "RUN touch /a", "FROM a AS b", "RUN touch /b"],
    args: ["--target", "a"],
    entries: { a: "-rw-r--r-- 0/0", b: undefined },
  },
];

const hello = `sha256:${createHash("sha256").update("hello\n").digest("hex")}`;

/** $WEB is a web server with the file `hello`, $GIT a git server with a repository that has a directory `dir`. */
const remote: readonly Case[] = [
  {
    name: "ADD of a file from the web, with its checksum, name and time",
    lines: [
      `ADD --checksum=${hello} $WEB/hello /d/`,
      "ADD --chmod=640 --chown=1:2 $WEB/hello /e",
      "RUN date -u -r /d/hello +%F > /x",
    ],
    texts: { "d/hello": "hello\n", x: "2001-02-03\n" },
    entries: { "d/hello": "-rw------- 0/0", e: "-rw-r----- 1/2" },
  },
  {
    name: "ADD --unpack of an archive from the web",
    lines: ["ADD --unpack=true $WEB/t.tar.gz /t/", "ADD $WEB/t.tar.gz /u/"],
    texts: { "t/in/file": "packed\n" },
    entries: { "u/in": undefined, "u/t.tar.gz": "-rw------- 0/0" },
  },
  {
    name: "ADD of a repository, of a part of it, and of one commit",
    lines: [
      "ADD $GIT/code.git /a",
      "ADD $GIT/code.git#main:dir /b",
      "ADD --checksum=$COMMIT $GIT/code.git?ref=main /c",
    ],
    texts: { "a/dir/x": "x\n", "b/x": "x\n", "c/dir/x": "x\n" },
    entries: { "a/.git": undefined },
  },
  {
    name: "ADD --keep-git-dir",
    lines: ["ADD --keep-git-dir=true $GIT/code.git#main /a", "RUN test -d /a/.git && test -f /a/.git/HEAD"],
  },
  {
    name: "RUN --mount=type=ssh, a socket that is the user's alone",
    lines: ['RUN --mount=type=ssh,mode=0640,uid=5 stat -c "%a %u %F" "$SSH_AUTH_SOCK" > /x'],
    args: ["--ssh", "default=$KEY"],
    texts: { x: "640 5 socket\n" },
  },
  {
    name: "RUN --network=host, where the daemon and the user allow it",
    lines: ["RUN --network=host wget -q -O /x $WEB/hello"],
    args: ["--allow", "network.host"],
    texts: { x: "hello\n" },
  },
];

suite("docker-buildx builds, and other tools find in the image,", () => {
  const folder = temporaryFolder("instructions");
  let daemon: TestDaemon;
  let registry: TestRegistry;
  let base: string;
  let archives: string;
  let git: HttpGitServer;
  let web: FileServer;
  let values: Readonly<Record<string, string>>;

  before(async () => {
    process.env["CONFORMANCE_SECRET"] = "hidden";
    registry = await TestRegistry.start(folder.path);
    base = await pushBaseImage(folder.path, registry.host);
    daemon = await TestDaemon.start(folder.path, ["--allow-insecure-entitlement=network.host"]);
    archives = mkdtempSync(join(folder.path, "archives-"));
    mkdirSync(join(archives, "in"));
    writeFileSync(join(archives, "in/file"), "packed\n");
    for (const [suffix, flag] of [
      ["", ""],
      [".gz", "z"],
      [".bz2", "j"],
      [".xz", "J"],
    ] as const) {
      await runOk("tar", [`-c${flag}f`, join(archives, `t.tar${suffix}`), "in"], { cwd: archives });
    }
    await runOk("zstd", ["-q", join(archives, "t.tar")]);
    const repositories = join(folder.path, "repositories");
    makeRepository(join(repositories, "code.git"), { "dir/x": "x\n" });
    git = await HttpGitServer.start(repositories);
    web = await serveFiles({ hello: Buffer.from("hello\n"), "t.tar.gz": readFileSync(join(archives, "t.tar.gz")) });
    const key = join(folder.path, "key");
    await runOk("ssh-keygen", ["-q", "-N", "", "-t", "ed25519", "-f", key]);
    values = {
      $BASE: base,
      $WEB: web.url,
      $GIT: git.url,
      $COMMIT: gitIn(join(repositories, "code.git"), "rev-parse", "HEAD"),
      $KEY: key,
    };
  });

  after(async () => {
    await git[Symbol.asyncDispose]();
    await web[Symbol.asyncDispose]();
    await daemon[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
    delete process.env["CONFORMANCE_SECRET"];
  });

  /** The text with the addresses of this run's servers. */
  function filledIn(text: string): string {
    return Object.entries(values).reduce((filled, [name, value]) => filled.replaceAll(name, value), text);
  }

  async function contextOf({ lines, files }: Case): Promise<string> {
    const context = mkdtempSync(join(folder.path, "context-"));
    const own = lines.some((line) => line.startsWith("FROM ")) ? [] : ["FROM $BASE"];
    const all = {
      Dockerfile: filledIn(`${["ARG BASE", ...own, ...lines].join("\n")}\n`),
      "a.txt": "a\n",
      "a name": "named\n",
      "dir/b.txt": "b\n",
      "dir/r.md": "r\n",
      "dir/sub/c.txt": "c\n",
      ...files,
    };
    for (const [name, text] of Object.entries(all)) {
      mkdirSync(dirname(join(context, name)), { recursive: true });
      writeFileSync(join(context, name), text);
    }
    if (lines.some((line) => line.includes("t.tar"))) await runOk("sh", ["-c", `cp ${archives}/t.tar* ${context}`]);
    return context;
  }

  for (const one of [...metadata, ...copying, ...running, ...remote]) {
    test(one.name, async () => {
      const context = await contextOf(one);
      const args = (one.args ?? []).map((arg) => filledIn(arg).replaceAll("$CONTEXT", context));
      const image = await BuiltImage.build(daemon, mkdtempSync(join(folder.path, "image-")), [...args, context]);
      for (const [member, value] of Object.entries(one.config ?? {})) {
        assert.deepEqual(image.config[member as keyof InspectedConfig], value, member);
      }
      for (const [path, entry] of Object.entries(one.entries ?? {})) assert.equal(image.entries.get(path), entry, path);
      for (const [path, text] of Object.entries(one.texts ?? {})) assert.equal(await image.text(path), text, path);
    });
  }
});
