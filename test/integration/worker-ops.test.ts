import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import type { ErrorReporter } from "@buildkit-ts/async";
import { LocalCacheManager } from "@buildkit-ts/cache";
import { LocalContentStore } from "@buildkit-ts/content";
import { RuncExecutor } from "@buildkit-ts/executor";
import { ThreadedFileBackend } from "@buildkit-ts/fileop";
import { WorkerLayerCodec } from "@buildkit-ts/layers";
import type { Definition } from "@buildkit-ts/llb";
import { MetadataDatabase } from "@buildkit-ts/metadata";
import { withMounts } from "@buildkit-ts/mount";
import { HostNetworkProvider, NoneNetworkProvider } from "@buildkit-ts/network";
import { digestOf } from "@buildkit-ts/oci";
import { LocalSessionManager } from "@buildkit-ts/session";
import { OverlaySnapshotter } from "@buildkit-ts/snapshots";
import { GraphSolver, MemoryCacheStore } from "@buildkit-ts/solver";
import type { Source } from "@buildkit-ts/sources";
import { createOpResolver, loadDefinition, WorkerResultLoader, WorkerSlots } from "@buildkit-ts/worker";

const busybox = ["/usr/bin/busybox", "/bin/busybox"].find((path) => existsSync(path)) ?? "";
const skip = process.getuid?.() === 0 && busybox !== "" ? false : "needs root and a static busybox";
const reporter: ErrorReporter = {
  report: (error, context) => {
    throw new Error(context, { cause: error });
  },
};
const signal = new AbortController().signal;

/** A tree with a busybox, as a source. */
function busyboxSource(cache: LocalCacheManager): Source {
  return {
    schemes: ["busybox"],
    resolve: () => ({
      cacheKey: async () => ({ key: "busybox", pin: "", done: true }),
      snapshot: async () => {
        const tree = await cache.create(undefined, { signal, description: "busybox" });
        {
          await using held = await tree.mount({ signal });
          await withMounts(held.mounts, { signal }, async (path) => {
            for (const name of ["bin", "etc"]) mkdirSync(join(path, name));
            copyFileSync(busybox, join(path, "bin/busybox"));
            for (const name of ["sh", "cat", "ls", "stat"]) symlinkSync("busybox", join(path, "bin", name));
            writeFileSync(join(path, "etc/passwd"), "root:x:0:0::/:/bin/sh\nbob:x:7:8::/:/bin/sh\n");
          });
        }
        return await tree.commit();
      },
    }),
  };
}

async function createSolver(root: string, stack: AsyncDisposableStack): Promise<GraphSolver> {
  const database = MetadataDatabase.open(join(root, "state.db"), { reporter });
  const snapshotter = stack.use(new OverlaySnapshotter({ root, database, reporter }));
  const content = await LocalContentStore.open(root);
  const codec = new WorkerLayerCodec({});
  const cache = stack.use(await LocalCacheManager.open({ root, database, snapshotter, content, codec, reporter }));
  const host = new HostNetworkProvider();
  const networks = { sandbox: host, host, none: new NoneNetworkProvider() };
  const executor = await RuncExecutor.open({ directory: join(root, "executor"), networks });
  const temporaryDirectory = join(root, "tmp");
  mkdirSync(temporaryDirectory);
  const resolveOp = createOpResolver({
    workerId: "worker",
    cache,
    executor,
    sources: [busyboxSource(cache)],
    sessions: new LocalSessionManager(),
    fileBackend: new ThreadedFileBackend(),
    slots: new WorkerSlots(2),
    temporaryDirectory,
  });
  const results = new WorkerResultLoader("worker", cache);
  return new GraphSolver({ resolveOp, cache: new MemoryCacheStore({ id: "local", results }), reporter });
}

class Graph {
  readonly #def: Uint8Array[] = [];

  add(op: MessageInitShape<typeof opspb.OpSchema>): string {
    const bytes = toBinary(opspb.OpSchema, create(opspb.OpSchema, op));
    this.#def.push(bytes);
    return digestOf(bytes);
  }

  run(inputs: readonly string[], command: string, mounts: MessageInitShape<typeof opspb.MountSchema>[] = []): string {
    const meta = { args: ["/bin/sh", "-c", command], env: ["PATH=/bin"], cwd: "/", removeMountStubsRecursive: true };
    const root = { input: 0n, dest: "/", output: 0n };
    const value = { meta, mounts: [root, ...mounts] };
    return this.add({ inputs: inputs.map((digest) => ({ digest })), op: { case: "exec", value } });
  }

  finish(digest: string): Definition {
    this.add({ inputs: [{ digest }] });
    return { def: this.#def, metadata: new Map(), source: undefined };
  }
}

/** RUN with a cache directory, COPY --chown with a further file, COPY --link, RUN with a bind mount. */
function exampleGraph(last: string): Definition {
  const graph = new Graph();
  const base = graph.add({ op: { case: "source", value: { identifier: "busybox://" } } });
  const cacheMount = { input: -1n, dest: "/c", output: -1n, mountType: opspb.MountType.CACHE, cacheOpt: { ID: "/c" } };
  const first = graph.run([base], "echo one > /one; echo run >> /c/n; cat /c/n", [cacheMount]);
  const owner = { user: { user: { case: "byName", value: { name: "bob", input: 0n } } } } as const;
  const copy = { src: "/one", dest: "/w/", mode: -1, createDestPath: true, timestamp: -1n };
  const mkfile = { path: "/w/two", mode: 0o600, data: Buffer.from("2"), timestamp: -1n };
  const copied = graph.add({
    inputs: [{ digest: base }, { digest: first }],
    op: {
      case: "file",
      value: {
        actions: [
          { input: 0n, secondaryInput: 1n, output: -1n, action: { case: "copy", value: { ...copy, owner } } },
          { input: 2n, secondaryInput: -1n, output: 0n, action: { case: "mkfile", value: mkfile } },
        ],
      },
    },
  });
  const link = { input: -1n, secondaryInput: 0n, output: 0n } as const;
  const linked = graph.add({
    inputs: [{ digest: first }],
    op: {
      case: "file",
      value: { actions: [{ ...link, action: { case: "copy", value: { ...copy, dest: "/linked" } } }] },
    },
  });
  const merged = graph.add({
    inputs: [{ digest: copied }, { digest: linked }],
    op: { case: "merge", value: { inputs: [{ input: 0n }, { input: 1n }] } },
  });
  const bind = { input: 1n, selector: "/one", dest: "/m", output: -1n, readonly: true };
  return graph.finish(
    graph.run([merged, first], `stat -c '%n %u:%g %a' /w/one /w/two /linked; cat /m; ${last}`, [bind]),
  );
}

test("createOpResolver() gives ops that build, share and cache a graph of all kinds", { skip }, async () => {
  const root = mkdtempSync(join(tmpdir(), "worker-ops-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(root, { recursive: true }));
  const solver = await createSolver(root, stack);
  const build = async (id: string, last: string): Promise<string> => {
    const edge = await loadDefinition(exampleGraph(last), { signal, entitlements: new Set() });
    const texts: string[] = [];
    const job = solver.createJob(id);
    const reading = (async () => {
      for await (const events of job.events({ signal }))
        for (const event of events) if (event.kind === "log") texts.push(Buffer.from(event.data).toString());
    })();
    try {
      await using _result = await job.build(edge, { signal });
    } finally {
      await job[Symbol.asyncDispose]();
      await reading;
    }
    return texts.join("");
  };
  assert.equal(await build("first", "true"), "run\n/w/one 7:8 644\n/w/two 0:0 600\n/linked 0:0 644\none\n");
  // Only the changed step runs; of the others, the logs are not shown again.
  assert.equal(await build("second", ":"), "/w/one 7:8 644\n/w/two 0:0 600\n/linked 0:0 644\none\n");
  await assert.rejects(build("third", "exit 9"), {
    message:
      "process \"/bin/sh -c stat -c '%n %u:%g %a' /w/one /w/two /linked; cat /m; exit 9\" did not complete successfully: exit code: 9",
  });
});
