import assert from "node:assert/strict";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ExitError } from "@buildkit-ts/errdefs";
import { readMountInfo } from "@buildkit-ts/mount";
import { HostNetworkProvider, NoneNetworkProvider } from "@buildkit-ts/network";
import type { ContainerRequest, ProcessMeta, ProcessStreams } from "./executor.ts";
import { findRuntime } from "./oci-runtime.ts";
import { RuncExecutor } from "./runc-executor.ts";

const busybox = ["/usr/bin/busybox", "/bin/busybox"].find((path) => existsSync(path));
const skip = canRun() ? false : "needs root, a static busybox and an OCI runtime";

function canRun(): boolean {
  try {
    findRuntime({ path: process.env["PATH"] ?? "" });
    return process.getuid?.() === 0 && busybox !== undefined;
  } catch {
    return false;
  }
}

const baseMeta: ProcessMeta = {
  args: [],
  env: ["PATH=/bin"],
  user: "",
  cwd: "/",
  hostname: "",
  extraHosts: [],
  ulimits: [],
  cgroupParent: "",
  network: "none",
  security: "sandbox",
  readonlyRootfs: false,
  removeMountStubsRecursive: true,
  tty: false,
};

class Fixture implements AsyncDisposable {
  readonly directory: string = mkdtempSync(join(tmpdir(), "executor-test-"));
  readonly rootfs: string = join(this.directory, "rootfs");
  readonly executor: RuncExecutor;
  #ids = 0;

  static async create(): Promise<Fixture> {
    const directory = mkdtempSync(join(tmpdir(), "executor-"));
    const host = new HostNetworkProvider();
    const networks = { sandbox: host, host, none: new NoneNetworkProvider() };
    return new Fixture(await RuncExecutor.open({ directory, networks }), directory);
  }

  readonly #state: string;

  private constructor(executor: RuncExecutor, state: string) {
    this.executor = executor;
    this.#state = state;
    mkdirSync(join(this.rootfs, "bin"), { recursive: true });
    mkdirSync(join(this.rootfs, "etc"));
    copyFileSync(busybox ?? "", join(this.rootfs, "bin/busybox"));
    symlinkSync("busybox", join(this.rootfs, "bin/sh"));
    writeFileSync(join(this.rootfs, "etc/passwd"), "root:x:0:0::/root:/bin/sh\nbob:x:1001:1002::/:/bin/sh\n");
    writeFileSync(join(this.rootfs, "etc/group"), "bob:x:1002:\nextra:x:1003:alice,bob\n");
  }

  request(command: string, meta: Partial<ProcessMeta> = {}, mounts: ContainerRequest["mounts"] = []): ContainerRequest {
    this.#ids += 1;
    const script = `busybox --install -s /bin 2>/dev/null; ${command}`;
    return {
      id: `test-${process.pid}-${this.#ids}`,
      meta: { ...baseMeta, args: ["/bin/sh", "-c", script], ...meta },
      root: [{ type: "bind", source: this.rootfs, options: ["rbind"] }],
      mounts,
    };
  }

  async run(request: ContainerRequest, signal: AbortSignal = new AbortController().signal): Promise<string> {
    let output = "";
    const streams: ProcessStreams = { onOutput: (_stream, data) => void (output += Buffer.from(data).toString()) };
    await this.executor.run(request, streams, { signal });
    return output;
  }

  /** What the executor's directory holds besides files that all steps share. */
  leftovers(): string[] {
    const mounted = readMountInfo().filter(({ mountPoint }) => mountPoint.startsWith(this.#state));
    const names = readdirSync(this.#state).filter((name) => !["hosts", "resolv.conf", "runtime"].includes(name));
    return [...names, ...readdirSync(join(this.#state, "runtime")), ...mounted.map(({ mountPoint }) => mountPoint)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    assert.deepEqual(this.leftovers(), []);
    rmSync(this.directory, { recursive: true });
    rmSync(this.#state, { recursive: true });
  }
}

test("run() gives the process its user, directory, hosts and network, and leaves nothing behind", {
  skip,
}, async () => {
  await using fixture = await Fixture.create();
  const meta = { cwd: "/made/here", hostname: "box", extraHosts: [{ host: "db", ip: "10.1.2.3" }] };
  const output = await fixture.run(
    fixture.request("pwd; hostname; cat /etc/hosts; id; ls /sys/class/net; echo through > /dev/stdout", meta),
  );
  assert.match(
    output,
    /^\/made\/here\nbox\n127\.0\.0\.1\tlocalhost box\n::1\t.*\n10\.1\.2\.3\tdb\nuid=0\(root\).*\nlo\nthrough\n$/,
  );
  const asBob = await fixture.run(fixture.request("id", { user: "bob" }));
  assert.match(asBob, /^uid=1001\(bob\) gid=1002\(bob\) groups=1002\(bob\),1003\(extra\)/);
  // Neither the mount points of hosts and resolv.conf, nor anything else that the step did not write.
  assert.deepEqual(readdirSync(join(fixture.rootfs, "etc")), ["group", "passwd"]);
});

test("run() fails with the process's exit code", { skip }, async () => {
  await using fixture = await Fixture.create();
  await assert.rejects(fixture.run(fixture.request("exit 7")), (error) => {
    assert.ok(error instanceof ExitError);
    assert.equal(error.message, "exit code: 7");
    return true;
  });
});

test("run() kills all processes of the container when it is aborted", { skip }, async () => {
  await using fixture = await Fixture.create();
  const abort = new AbortController();
  const request = fixture.request("sleep 1000 & trap '' TERM INT; echo ready; sleep 1000");
  let ready = (): void => undefined;
  const isReady = new Promise<void>((resolve) => {
    ready = resolve;
  });
  const run = fixture.executor.run(request, { onOutput: () => ready() }, { signal: abort.signal });
  await isReady;
  abort.abort(new Error("enough"));
  await assert.rejects(run, /enough/);
});

test("run() lets a process wait while its output is not taken, and loses nothing of it", { skip }, async () => {
  await using fixture = await Fixture.create();
  const taken = Promise.withResolvers<void>();
  const waiting = Promise.withResolvers<void>();
  let bytes = 0;
  const run = fixture.executor.run(
    fixture.request("head -c 4000000 /dev/zero"),
    {
      onOutput: async (_stream, data) => {
        bytes += data.length;
        waiting.resolve();
        await taken.promise;
      },
    },
    { signal: new AbortController().signal },
  );
  await waiting.promise;
  const held = bytes;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(bytes, held);
  assert.ok(held < 4_000_000);
  taken.resolve();
  await run;
  assert.equal(bytes, 4_000_000);
});

test("run() tells of the start also of processes that end at once, whose output waits for that", { skip }, async () => {
  await using fixture = await Fixture.create();
  // Whether the process is seen before its end is a matter of milliseconds, so several are tried.
  for (let i = 0; i < 20; i++) {
    const started = Promise.withResolvers<void>();
    let output = "";
    await fixture.executor.run(
      fixture.request("echo said"),
      {
        onOutput: async (_stream, data) => {
          await started.promise;
          output += Buffer.from(data).toString();
        },
      },
      { signal: new AbortController().signal, onStarted: started.resolve },
    );
    assert.equal(output, "said\n");
  }
});

test("run() shows the selected part of a mount and never what its links lead to outside", { skip }, async (t) => {
  await using fixture = await Fixture.create();
  const tree = createTree(t, fixture);
  const mount = { mounts: [{ type: "bind", source: tree, options: ["rbind"] }], readonly: true };
  const output = await fixture.run(
    fixture.request("cat /m/file /f; touch /m/new 2>&1 || echo denied", {}, [
      { ...mount, destination: "/m", selector: "/sub" },
      { ...mount, destination: "/f", selector: "sub/file" },
    ]),
  );
  assert.match(output, /^hellohello.*Read-only file system\ndenied\n$/s);
  await assert.rejects(fixture.run(fixture.request("true", {}, [{ ...mount, destination: "/m", selector: "/out" }])), {
    message: "open /out: no such file or directory",
  });
});

test("run() shows trees of more layers than a runtime can name", { skip }, async () => {
  await using fixture = await Fixture.create();
  const layers = Array.from({ length: 120 }, (_, index) => join(fixture.directory, `layer-${index}-${"x".repeat(40)}`));
  for (const layer of layers) mkdirSync(layer);
  writeFileSync(join(layers[119] ?? "", "lowest"), "hello");
  const mounts = [{ type: "overlay", source: "overlay", options: ["ro", `lowerdir=${layers.join(":")}`] }];
  const request = fixture.request("cat /m/lowest", {}, [{ mounts, destination: "/m", readonly: true }]);
  assert.match(await fixture.run(request), /^hello/);
});

function createTree(_t: TestContext, fixture: Fixture): string {
  const tree = join(fixture.directory, "tree");
  mkdirSync(join(tree, "sub"), { recursive: true });
  writeFileSync(join(tree, "sub/file"), "hello");
  // Beneath the tree this names nothing.
  symlinkSync(fixture.directory, join(tree, "out"));
  return tree;
}

test("exec() runs a further process, with a terminal where it asks for one", { skip }, async () => {
  await using fixture = await Fixture.create();
  const { executor } = fixture;
  const { signal } = new AbortController();
  const request = fixture.request("read line; echo got $line", {});
  const input = new TransformStream<Uint8Array, Uint8Array>();
  let first = "";
  const started = Promise.withResolvers<void>();
  const run = executor.run(
    request,
    { stdin: input.readable, onOutput: (_s, data) => void (first += Buffer.from(data).toString()) },
    { signal, onStarted: () => started.resolve() },
  );
  await started.promise;
  let second = "";
  const meta = { ...baseMeta, args: ["/bin/sh", "-c", "busybox tty && read word && echo =$word="], tty: true };
  const stdin = ReadableStream.from([Buffer.from("typed\n")]);
  const resize = ReadableStream.from([{ rows: 31, columns: 77 }]);
  await executor.exec(
    request.id,
    meta,
    { stdin, resize, onOutput: (_s, data) => void (second += Buffer.from(data).toString()) },
    { signal },
  );
  assert.match(second, /\/dev\/pts\/\d+\r\n/);
  assert.match(second, /=typed=\r\n$/);
  const writer = input.writable.getWriter();
  await writer.write(Buffer.from("line\n"));
  await writer.close();
  await run;
  assert.equal(first, "got line\n");
});

test("run() takes security.insecure for what it is: all capabilities and a writable /sys", { skip }, async () => {
  await using fixture = await Fixture.create();
  const count = "grep CapEff /proc/self/status; grep Seccomp: /proc/self/status; grep ' /sys ' /proc/mounts";
  const plain = await fixture.run(fixture.request(count));
  assert.match(plain, /CapEff:\t00000000a80425fb\nSeccomp:\t2\n.* ro,/);
  const insecure = await fixture.run(fixture.request(count, { security: "insecure" }));
  assert.match(insecure, /Seccomp:\t0\n.* rw,/);
  assert.doesNotMatch(insecure, /00000000a80425fb/);
});

test("run() refuses ids that lead out of the executor's directory, and touches nothing there", { skip }, async () => {
  await using fixture = await Fixture.create();
  const outside = join(fixture.directory, "outside");
  writeFileSync(outside, "kept");
  for (const id of [`../${fixture.directory.split("/").at(-1)}/outside`, "runtime", "a/b", "..", ""]) {
    const request = { ...fixture.request("true"), id };
    await assert.rejects(fixture.run(request), { message: `invalid container ID ${JSON.stringify(id)}` });
  }
  assert.equal(readFileSync(outside, "utf8"), "kept");
});
