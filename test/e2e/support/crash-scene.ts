import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { BuildRequest } from "@buildkit-ts/client";
import { busyboxContext, shellLayer } from "./busybox-context.ts";
import { TestDaemon } from "./daemon.ts";
import { FailingDisk } from "./failing-disk/failing-disk.ts";
import { leftovers } from "./leftovers.ts";
import { runOk } from "./processes.ts";
import { StallingRegistry } from "./stalling-registry.ts";

/** A daemon that collects garbage all the time, and builds for it that do all that daemons do. */
export class CrashScene implements AsyncDisposable {
  readonly daemon: TestDaemon;
  /** What the root lies on, if it was asked for. */
  readonly disk: FailingDisk | undefined;
  readonly #folder: string;
  readonly #registry: StallingRegistry;
  readonly #cgroupParent: string;
  readonly #resources: AsyncDisposableStack;
  /** In the command line of a process that ignores SIGTERM and would outlive its step. */
  readonly marker: string;

  private constructor(options: {
    readonly daemon: TestDaemon;
    readonly disk: FailingDisk | undefined;
    readonly folder: string;
    readonly registry: StallingRegistry;
    readonly cgroupParent: string;
    readonly resources: AsyncDisposableStack;
  }) {
    this.daemon = options.daemon;
    this.disk = options.disk;
    this.#folder = options.folder;
    this.#registry = options.registry;
    this.#cgroupParent = options.cgroupParent;
    this.#resources = options.resources;
    this.marker = `1000.${options.cgroupParent.replaceAll(/\D/g, "")}`;
  }

  /**
   * @param options.diskMb The root lies on a disk of its own of this size.
   * @param options.canFail And is seen through a file system that fails on command.
   */
  static async open(
    folder: string,
    { diskMb, canFail = false }: { readonly diskMb?: number; readonly canFail?: boolean } = {},
  ): Promise<CrashScene> {
    const cgroupParent = `crash-${process.pid}`;
    const policy = "[[worker.oci.gcpolicy]]\nall = true\nmaxUsedSpace = 60000000\n";
    // Overlays cannot be written upon a file system that is served from user space.
    const snapshotter = canFail ? 'snapshotter = "native"\n' : "";
    const worker = `[worker.oci]\ndefaultCgroupParent = "${cgroupParent}"\n${snapshotter}`;
    writeFileSync(join(folder, "none.toml"), `${worker}${policy}`);
    await using resources = new AsyncDisposableStack();
    const root = join(folder, "root");
    const store = canFail ? join(folder, "disk") : root;
    if (diskMb !== undefined) {
      mkdirSync(store);
      await runOk("mount", ["-t", "tmpfs", "-o", `size=${diskMb}m`, "none", store]);
      resources.defer(async () => void (await runOk("umount", [store])));
    }
    if (canFail) for (const path of [store, root]) mkdirSync(path, { recursive: true });
    const disk = canFail ? resources.use(await FailingDisk.mount(store, root)) : undefined;
    const registry = resources.use(await StallingRegistry.start());
    const daemon = resources.use(await TestDaemon.start(folder));
    return new CrashScene({ daemon, disk, folder, registry, cgroupParent, resources: resources.move() });
  }

  /** A build that no other one has anything in common with: an image to pull, files, steps, links, a push. */
  async prepareBuild(name: string): Promise<Omit<BuildRequest, "onStatus">> {
    const image = this.#registry.putImage(name, await this.#layer(name));
    const dockerfile = `FROM ${image} AS base
COPY data /data
RUN (trap '' TERM; exec sleep ${this.marker}) & echo begun; cp -r /data /made && ln /made/1 /hard && rm -r /data/d && echo ended
FROM ${image}
COPY --from=base / /all
COPY --link data/1 /linked/1
COPY --link data/d /linked/d
RUN --mount=type=cache,target=/cache cat /all/made/big > /cache/big && cp /cache/big /big
`;
    const files = Object.fromEntries(
      Array.from({ length: 40 }, (_, index) => [`data/${index % 2 === 0 ? "d/" : ""}${index}`, `${name} ${index}`]),
    );
    const big = createHash("sha256").update(name).digest("hex").repeat(30_000);
    const context = await busyboxContext(this.#folder, dockerfile, { ...files, "data/big": big });
    rmSync(join(context, "busybox"));
    return {
      frontend: "dockerfile.v0",
      directories: { context, dockerfile: context },
      sharedKey: context,
      exports: [{ type: "image", attributes: { name: `${this.#registry.host}/made/${name}`, push: "true" } }],
    };
  }

  async #layer(name: string): Promise<Buffer> {
    const folder = join(this.#folder, "image");
    mkdirSync(folder, { recursive: true });
    const tar = join(folder, "layer.tar");
    writeFileSync(tar, await shellLayer(folder));
    writeFileSync(join(folder, "name"), name.repeat(20_000));
    await runOk("tar", ["-C", folder, "-rf", tar, "name"]);
    const bytes = readFileSync(tar);
    rmSync(folder, { recursive: true });
    return bytes;
  }

  /** The digests of the layers that were pushed, unpacked. */
  async pushedFiles(name: string): Promise<ReadonlyMap<string, string>> {
    const image = join(this.#folder, "pushed");
    const source = `docker://${this.#registry.host}/made/${name}:latest`;
    await runOk("skopeo", ["--insecure-policy", "copy", "-q", "--src-tls-verify=false", source, `oci:${image}:x`]);
    await runOk("umoci", ["unpack", "--image", `${image}:x`, join(image, "bundle")]);
    const root = join(image, "bundle/rootfs");
    const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const digests = files.map(async (entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(root.length), await digestOfFile(path)] as const;
    });
    const found = new Map(await Promise.all(digests));
    rmSync(image, { recursive: true });
    return found;
  }

  /** What a daemon that has just started must not have, of the one that was killed. */
  leftBehind(): string[] {
    const left = leftovers(this.daemon.root, this.marker);
    for (const controller of readdirSync("/sys/fs/cgroup"))
      for (const base of [join("/sys/fs/cgroup", controller), "/sys/fs/cgroup"]) {
        const path = join(base, this.#cgroupParent, "buildkit");
        if (existsSync(path))
          for (const entry of readdirSync(path, { withFileTypes: true }))
            if (entry.isDirectory()) left.push(`cgroup ${join(path, entry.name)}`);
      }
    return left;
  }

  /** What of it still works or is in use, once what goes on after a build has had its time. Files may lie until the next start. */
  async runsOnAfter(timeoutMs: number): Promise<string[]> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const left = this.leftBehind().filter((what) => /^(?:mount|container|cgroup|process) /.test(what));
      if (left.length === 0 || Date.now() > deadline) return left;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** All copies of each file are the same. */
  assertWhole(files: ReadonlyMap<string, string>): void {
    const groups = [
      ["/all/hard", "/all/made/1", "/all/data/1", "/linked/1"],
      ["/big", "/all/made/big", "/all/data/big"],
      ...Array.from({ length: 20 }, (_, index) => [`/all/made/d/${2 * index}`, `/linked/d/${2 * index}`]),
    ];
    for (const group of groups) {
      const digests = group.map((path) => files.get(path) ?? `no ${path}`);
      assert.deepEqual(
        digests,
        digests.map(() => digests[0]),
        group.join(" "),
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

async function digestOfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
