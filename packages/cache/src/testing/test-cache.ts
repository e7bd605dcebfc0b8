import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, type ErrorReporter, systemClock } from "@buildkit-ts/async";
import { LocalContentStore } from "@buildkit-ts/content";
import { WorkerLayerCodec } from "@buildkit-ts/layers";
import { MetadataDatabase } from "@buildkit-ts/metadata";
import { mountTemporarily } from "@buildkit-ts/mount";
import { noProgress } from "@buildkit-ts/progress";
import { NativeSnapshotter, OverlaySnapshotter } from "@buildkit-ts/snapshots";
import { LocalCacheManager } from "../local-cache-manager.ts";
import type { CacheManager, ImmutableRef, NewRefOptions, RefOptions } from "../refs.ts";

const { signal } = new AbortController();
/** Options for calls that report to nobody. */
export const quiet: RefOptions = { signal, progress: noProgress };

/** A cache of real parts in a directory of its own. Disposing it ends it as a daemon ends; the directory stays. */
export interface TestCache extends AsyncDisposable {
  readonly root: string;
  readonly cache: LocalCacheManager;
  readonly content: LocalContentStore;
  readonly database: MetadataDatabase;
  readonly snapshotter: OverlaySnapshotter | NativeSnapshotter;
  readonly reported: unknown[];
}

/** Makes a directory for {@linkcode openTestCache} that is removed when it is disposed. */
export function makeTestRoot(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "cache-test-"));
  chmodSync(path, 0o755);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Opens the cache in a directory, as a daemon does that starts. */
export async function openTestCache(
  root: string,
  driver: "overlay" | "native" = "overlay",
  clock: Clock = systemClock,
): Promise<TestCache> {
  const reported: unknown[] = [];
  const reporter: ErrorReporter = { report: (error) => reported.push(error) };
  await using stack = new AsyncDisposableStack();
  const database = stack.use(MetadataDatabase.open(join(root, "state.db"), { reporter }));
  const options = { root, database, reporter, clock, syncDelayMs: 10 };
  const snapshotter = stack.use(
    driver === "overlay" ? new OverlaySnapshotter(options) : new NativeSnapshotter(options),
  );
  const content = await LocalContentStore.open(root);
  const codec = stack.use(new WorkerLayerCodec());
  const cache = stack.use(
    await LocalCacheManager.open({ root, database, snapshotter, content, codec, clock, reporter }),
  );
  const owned = stack.move();
  const parts = { root, cache, content, database, snapshotter, reported };
  return { ...parts, [Symbol.asyncDispose]: async () => await owned.disposeAsync() };
}

/** A committed ref: the parent's tree after `change` was done to it. */
export async function commitTree(
  cache: CacheManager,
  parent: ImmutableRef | undefined,
  change: { readonly run: (directory: string) => void } & Partial<NewRefOptions>,
): Promise<ImmutableRef> {
  const { run, ...options } = change;
  await using mutable = await cache.create(parent, { signal, description: "test", ...options });
  {
    await using held = await mutable.mount({ signal });
    await using mounted = await mountTemporarily(held.mounts, { signal });
    run(mounted.path);
  }
  return await mutable.commit();
}

/** Lets `read` see a ref's tree. */
export async function readTree<T>(ref: ImmutableRef, read: (directory: string) => T): Promise<T> {
  await using held = await ref.mount(quiet);
  await using mounted = await mountTemporarily(held.mounts, { signal, onlyReads: true });
  return read(mounted.path);
}

/** Names in a ref's root directory. */
export async function listRoot(ref: ImmutableRef): Promise<string[]> {
  return await readTree(ref, (directory) => readdirSync(directory).toSorted());
}

/** A subdirectory, made if it is not there. */
export function ensureDirectory(...parts: readonly string[]): string {
  const path = join(...parts);
  mkdirSync(path, { recursive: true });
  return path;
}
