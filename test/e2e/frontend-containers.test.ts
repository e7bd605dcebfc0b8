import assert from "node:assert/strict";
import { before, suite, test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { type ContainerMount, type FrontendClient, type GatewayContainer, inClient } from "@buildkit-ts/frontend";
import type { Definition } from "@buildkit-ts/llb";
import { copy, image, mkdir, mkfile, scratch } from "@buildkit-ts/llb";
import { RpcError } from "@buildkit-ts/session/rpc";
import { pushBaseImage } from "./support/base-image.ts";
import { TestDaemon } from "./support/daemon.ts";
import { leftoversAfter } from "./support/leftovers.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { temporaryFolder } from "./support/processes.ts";
import { TestRegistry } from "./support/registry.ts";
import { solve } from "./support/solve.ts";

/** What a failed solve tells of its step. */
interface FailedStep {
  readonly inputIDs?: readonly string[];
  readonly mountIDs?: readonly string[];
  readonly op?: { readonly exec?: { readonly meta: { readonly args: readonly string[] } } };
  readonly file?: { readonly index: string };
  readonly cache?: { readonly index: string };
}

suite("a container that a frontend makes for itself", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("frontend-containers"));
  const signal = AbortSignal.timeout(120_000);
  let daemon: TestDaemon;
  let registry: TestRegistry;
  let base: string;

  before(async () => {
    registry = owned.use(await TestRegistry.start(folder.path));
    base = await pushBaseImage(folder.path, registry.host);
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  /** Does something as the frontend of a build, after which nothing of it may be left. */
  async function within(work: (client: FrontendClient) => Promise<void>): Promise<void> {
    let failure: { readonly error: Error } | undefined;
    const { error } = await solve(daemon, {
      signal,
      run: inClient(async (client) => {
        try {
          await work(client);
        } catch (thrown) {
          failure = { error: thrown instanceof Error ? thrown : new Error(String(thrown)) };
        }
        return { ref: undefined, refs: new Map(), metadata: new Map() };
      }),
    });
    if (failure !== undefined) throw failure.error;
    assert.equal(error, undefined);
    assert.deepEqual(await leftoversAfter(daemon.root, { timeoutMs: 5000 }), []);
  }

  async function open(client: FrontendClient, more: readonly ContainerMount[] = []): Promise<GatewayContainer> {
    const { ref } = await client.solve({ definition: image(base).marshal() }, { signal });
    assert.ok(ref !== undefined);
    return await client.openContainer({ mounts: [{ target: "/", ref }, ...more] }, { signal });
  }

  async function output(container: GatewayContainer, script: string): Promise<string> {
    let text = "";
    const onStdout = (data: Uint8Array): void => void (text += Buffer.from(data).toString());
    await container.run({ args: ["sh", "-c", script], onStdout }, { signal });
    return text;
  }

  /** The failure of a solve. */
  async function failedStep(client: FrontendClient, definition: Definition): Promise<FailedStep> {
    try {
      await client.solve({ definition, evaluate: true }, { signal });
    } catch (error) {
      assert.ok(error instanceof RpcError);
      const detail = error.details.find(({ typeUrl }) => typeUrl.endsWith("/errdefs.Solve+json"));
      return JSON.parse(Buffer.from(detail?.value ?? []).toString()) as FailedStep;
    }
    assert.fail("it was solved");
  }

  test("runs processes that share it, until its first one ends", async () => {
    await within(async (client) => {
      await using container = await open(client);
      const init = await container.start({ args: ["sleep", "1000"] }, { signal });
      assert.equal(await output(container, "echo one > /file; cat /proc/1/cmdline | tr '\\0' ' '"), "sleep 1000 ");
      assert.equal(await output(container, "cat /file"), "one\n");
      assert.equal(await container.run({ args: ["sh", "-c", "exit 12"] }, { signal }), 12);
      await init.signal("SIGKILL");
      assert.equal(await init.exitCode, 137);
      await assert.rejects(container.run({ args: ["true"] }, { signal }), /not found|stopped/);
    });
  });

  test("gives a process its input, and all of its output in order", async () => {
    await within(async (client) => {
      await using container = await open(client);
      const bytes = Buffer.alloc(3_000_000, "0123456789abcdef\n");
      const received: Uint8Array[] = [];
      const errors: Uint8Array[] = [];
      const request = {
        args: ["sh", "-c", "cat; echo done >&2"],
        stdin: bytes,
        onStdout: (data: Uint8Array) => void received.push(data),
        onStderr: (data: Uint8Array) => void errors.push(data),
      };
      assert.equal(await container.run(request, { signal }), 0);
      assert.ok(Buffer.concat(received).equals(bytes));
      assert.equal(Buffer.concat(errors).toString(), "done\n");
    });
  });

  test("gives a process a terminal with the size that it is told", async () => {
    await within(async (client) => {
      await using container = await open(client);
      let shown = "";
      const ready = Promise.withResolvers<void>();
      const resized = Promise.withResolvers<void>();
      const process = await container.start(
        {
          args: ["sh", "-c", "trap 'stty size; exit 0' WINCH; tty; echo ready; while :; do sleep 0.05; done"],
          tty: true,
          stdin: Buffer.alloc(0),
          onStdout: (data) => {
            shown += Buffer.from(data).toString();
            if (shown.includes("ready")) ready.resolve();
            if (shown.includes("33 101")) resized.resolve();
          },
        },
        { signal },
      );
      await ready.promise;
      await process.resize({ rows: 33, columns: 101 });
      await resized.promise;
      assert.equal(await process.exitCode, 0);
      assert.match(shown, /\/dev\/pts\/0/);
    });
  });

  test("passes signals on, and ends a process whose stream ends", async () => {
    await within(async (client) => {
      await using container = await open(client);
      await using _init = await container.start({ args: ["sleep", "1000"] }, { signal });
      const ready = Promise.withResolvers<void>();
      const args = ["sh", "-c", "trap 'exit 42' USR1; echo ready; while :; do sleep 0.05; done"];
      const process = await container.start({ args, onStdout: () => ready.resolve() }, { signal });
      await ready.promise;
      await process.signal("SIGUSR1");
      assert.equal(await process.exitCode, 42);
      {
        await using _dropped = await container.start({ args: ["sleep", "999"] }, { signal });
      }
      const gone = async (): Promise<boolean> => !(await output(container, "ps")).includes("sleep 999");
      while (!(await gone())) signal.throwIfAborted();
    });
  });

  test("can be read mount by mount, while it works", async () => {
    await within(async (client) => {
      const { ref } = await client.solve(
        {
          definition: scratch()
            .file(mkdir("/dir", 0o755).mkfile("/dir/a", "text", { mode: 0o600 }))
            .marshal(),
        },
        { signal },
      );
      assert.ok(ref !== undefined);
      await using container = await open(client, [
        { target: "/data", ref },
        { target: "/tmp", tmpfs: true },
      ]);
      assert.equal(Buffer.from(await container.readFile("/dir/a", { signal, mount: 1 })).toString(), "text");
      await using _init = await container.start({ args: ["sleep", "1000"] }, { signal });
      await output(
        container,
        "echo new > /data/dir/b; ln -s /etc/passwd /data/link; ln -s dir/a /data/near; echo x > /made",
      );
      const names = await container.readDirectory("/dir", { signal, mount: 1 });
      assert.deepEqual(
        names.map(({ path }) => path),
        ["a", "b"],
      );
      assert.equal(Buffer.from(await container.readFile("/made", { signal })).toString(), "x\n");
      // Where the link leads to is another mount's business: the client is shown the link.
      assert.equal((await container.stat("/link", { signal, mount: 1 }))?.linkname, "/etc/passwd");
      assert.equal((await container.stat("/near", { signal, mount: 1 }))?.size, 4n);
      await assert.rejects(container.readFile("/none", { signal }), /no such file or directory/);
      await assert.rejects(container.readFile("/x", { signal, mount: 9 }), /mount index 9 is out of bounds/);
    });
  });

  test("starts from what a failed process left, in each of its mounts", async () => {
    await within(async (client) => {
      const step = image(base).run({
        args: ["sh", "-c", "echo root > /left; echo out > /out/left; exit 5"],
        mounts: [{ target: "/out", source: scratch() }],
      });
      const { op, mountIDs = [], inputIDs = [] } = await failedStep(client, step.marshal());
      assert.equal(op?.exec?.meta.args[0], "sh");
      assert.equal(mountIDs.length, 2);
      assert.deepEqual(
        inputIDs.map((id) => id !== ""),
        [true, false],
      );
      const mounts = mountIDs.map((id, index) => ({ target: index === 0 ? "/" : "/out", ref: { id } }));
      await using container = await client.openContainer({ mounts }, { signal });
      assert.equal(await output(container, "cat /left /out/left"), "root\nout\n");
    });
  });

  test("starts from what a failed file action was changing and reading", async () => {
    await within(async (client) => {
      const made = scratch().file(mkdir("/from", 0o755).mkfile("/from/a", "source", { mode: 0o644 }));
      const action = mkfile("/before", "target", { mode: 0o644 }).copy(made, { src: "/from/a", dest: "/none/to" });
      const { file, mountIDs = [], inputIDs = [] } = await failedStep(client, scratch().file(action).marshal());
      assert.equal(file?.index, "1");
      await using container = await open(client, [
        { target: "/target", ref: { id: mountIDs[1] ?? "" } },
        { target: "/source", ref: { id: inputIDs[0] ?? "" } },
      ]);
      assert.equal(await output(container, "cat /target/before /source/from/a"), "targetsource");
    });
  });

  test("starts from an input whose content key could not be made", async () => {
    await within(async (client) => {
      const input = scratch().file(mkfile("/there", "here", { mode: 0o644 }));
      const step = image(base).run({
        args: ["true"],
        mounts: [{ target: "/in", source: input, selector: "/not-there", readonly: true }],
      });
      const { cache, inputIDs = [], mountIDs = [] } = await failedStep(client, step.marshal());
      assert.equal(cache?.index, "1");
      assert.deepEqual([inputIDs.length, mountIDs.length], [1, 0]);
      await using container = await open(client, [{ target: "/in", ref: { id: inputIDs[0] ?? "" } }]);
      assert.equal(await output(container, "cat /in/there"), "here");
    });
  });

  test("mounts nothing that the build was not given", async () => {
    await within(async (client) => {
      const { ref } = await client.solve({ definition: image(base).marshal(), evaluate: true }, { signal });
      assert.ok(ref !== undefined);
      for (const id of ["nonsense", "worker::ref", `${"x".repeat(10_000)}`]) {
        const mounts = [
          { target: "/", ref },
          { target: "/other", ref: { id } },
        ];
        await assert.rejects(client.openContainer({ mounts }, { signal }), (error) => {
          return BuildError.from(error).message.startsWith("failed to find ref");
        });
      }
      await assert.rejects(client.openContainer({ mounts: [] }, { signal }), /no rootfs/);
    });
  });

  test("fails with the process's own words for a program, a user or a directory that cannot be", async () => {
    await within(async (client) => {
      for (const request of [{ args: ["/no/such"] }, { args: ["true"], user: "nobody-knows" }, { args: [] }]) {
        await using container = await open(client);
        let words = "";
        const run = container.run(
          { ...request, onStderr: (data) => void (words += Buffer.from(data).toString()) },
          { signal },
        );
        const outcome = await run.catch((error: unknown) => BuildError.from(error).message);
        assert.match(`${outcome} ${words}`, /no such file|unable to find user|no arguments/);
      }
    });
  });

  test("is one of not too many", async () => {
    await within(async (client) => {
      const { ref } = await client.solve({ definition: image(base).marshal() }, { signal });
      assert.ok(ref !== undefined);
      const mounts = [{ target: "/", ref }];
      await using stack = new AsyncDisposableStack();
      for (let i = 0; i < 100; i += 1) stack.use(await client.openContainer({ mounts }, { signal }));
      await assert.rejects(client.openContainer({ mounts }, { signal }), { code: "resource_exhausted" });
    });
  });

  test("has the copy that a build made, and gives nothing back to it", async () => {
    await within(async (client) => {
      const built = image(base).file(
        copy(scratch().file(mkfile("/a", "1", { mode: 0o644 })), { src: "/a", dest: "/a" }),
      );
      const definition = built.marshal();
      const { ref } = await client.solve({ definition }, { signal });
      assert.ok(ref !== undefined);
      {
        await using container = await client.openContainer({ mounts: [{ target: "/", ref }] }, { signal });
        assert.equal(await output(container, "echo 2 > /a; cat /a"), "2\n");
      }
      assert.equal(Buffer.from(await ref.readFile("/a", { signal })).toString(), "1");
    });
  });
});
