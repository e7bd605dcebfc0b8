import { type Clock, systemClock } from "@buildkit-ts/async";
import type { CacheManager, HeldMounts, ImmutableRef, MutableRef, RefOptions } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Mount, mountTemporarily } from "@buildkit-ts/mount";

/** Who may use a cache directory at the same time. */
export type CacheSharing = "shared" | "private" | "locked";

export interface CacheMountRequest extends RefOptions {
  readonly id: string;
  readonly sharing: CacheSharing;
  /** What a new directory starts from. */
  readonly base: ImmutableRef | undefined;
  /** Shown as the record's description. */
  readonly description: string;
}

/** A hold on a cache directory. */
export interface CacheMount extends AsyncDisposable {
  readonly mounts: readonly Mount[];
}

interface Share {
  readonly mounts: readonly Mount[];
  /** The directory and what it is mounted with. */
  readonly resources: AsyncDisposable;
  holders: number;
}

/** The metadata key by which directories are found again. */
export const cacheMountKey = "cache-dir";
/** And by their ids alone, whatever they started from. */
const cacheMountIdKey = "cache-dir-id";
/** Who else may hold a directory, such as a prune, does not tell us when it lets go. */
const pollMs = 100;

type Caches = Pick<CacheManager, "search" | "getMutable" | "create" | "metadata" | "prune">;

/**
 * The cache directories of `RUN --mount=type=cache`, which outlive builds.
 *
 * - *shared*: all steps that ask at the same time are given the same directory;
 * - *private*: a further directory is made while all known ones are in use;
 * - *locked*: waits until one is free.
 *
 * One instance per worker: it is what makes sharing work. Within a step, equal ids are one directory in any case.
 */
export class CacheMounts {
  readonly #cache: Caches;
  readonly #clock: Clock;
  readonly #temporaryDirectory: string | undefined;
  readonly #shared = new Map<string, { readonly id: string; readonly share: Promise<Share> }>();
  readonly #searching = new Map<string, Promise<unknown>>();
  readonly #released = new Set<() => void>();

  /** @param options.temporaryDirectory For mount points; the system's unless given. */
  constructor(cache: Caches, options: { readonly clock?: Clock; readonly temporaryDirectory?: string } = {}) {
    this.#cache = cache;
    this.#clock = options.clock ?? systemClock;
    this.#temporaryDirectory = options.temporaryDirectory;
  }

  /** For one step. */
  createScope(): CacheMountScope {
    return new CacheMountScope(this);
  }

  /**
   * Steps that come later start with new directories: what ignoring the cache means for these ids. Directories that nobody
   * uses are deleted.
   */
  async prune(ids: Iterable<string>, options: { readonly signal: AbortSignal }): Promise<void> {
    const pruned = new Set(ids);
    const records = [...pruned].flatMap((id) => this.#cache.search(cacheMountIdKey, id));
    // Those who use one go on with it; it is no longer found by others.
    for (const [key, { id }] of this.#shared) if (pruned.has(id)) this.#shared.delete(key);
    for (const record of records) {
      const metadata = this.#cache.metadata(record);
      metadata.set(cacheMountKey, undefined, { index: true });
      metadata.set(cacheMountIdKey, undefined, { index: true });
    }
    if (records.length === 0) return;
    const everything = { keepDurationMs: 0, reservedSpaceBytes: 0, maxUsedSpaceBytes: 0, minFreeSpaceBytes: 0 };
    const filters = records.map((id) => `id==${id}`);
    for await (const _record of this.#cache.prune({ ...everything, filters, all: true, signal: options.signal })) {
      options.signal.throwIfAborted();
    }
  }

  async acquire(request: CacheMountRequest): Promise<CacheMount> {
    const key = mountKey(request);
    if (request.sharing !== "shared") {
      const share = await this.#open(key, request);
      share.holders += 1;
      return this.#hold(share, () => undefined);
    }
    for (;;) {
      request.signal.throwIfAborted();
      let pending = this.#shared.get(key);
      if (pending === undefined) {
        pending = { id: request.id, share: this.#open(key, request) };
        this.#shared.set(key, pending);
      }
      const drop = (): void => {
        if (this.#shared.get(key) === pending) this.#shared.delete(key);
      };
      try {
        const share = await pending.share;
        // Its last holder may have left while we waited.
        if (this.#shared.get(key) !== pending) continue;
        share.holders += 1;
        return this.#hold(share, drop);
      } catch (error) {
        drop();
        // The first asker's build was cancelled; this one goes on.
        if (BuildError.from(error).code !== "canceled") throw error;
      }
    }
  }

  #hold(share: Share, drop: () => void): CacheMount {
    let held = true;
    return {
      mounts: share.mounts,
      [Symbol.asyncDispose]: async () => {
        if (!held) return;
        held = false;
        share.holders -= 1;
        if (share.holders > 0) return;
        drop();
        await share.resources[Symbol.asyncDispose]();
        for (const wake of this.#released) wake();
      },
    };
  }

  /**
   * Mounts the directory once, for all who share it: two overlay mounts of the same layers do not see what the other one
   * writes.
   */
  async #open(key: string, request: CacheMountRequest): Promise<Share> {
    const { signal } = request;
    const parent = this.#temporaryDirectory;
    await using stack = new AsyncDisposableStack();
    const ref = stack.use(await this.#acquireRef(key, request));
    const held = stack.use(await ref.mount({ signal }));
    const { path } = stack.use(
      await mountTemporarily(held.mounts, { signal, ...(parent !== undefined && { parent }) }),
    );
    return {
      mounts: [{ type: "bind", source: path, options: ["rw", "rbind"] }],
      resources: stack.move(),
      holders: 0,
    };
  }

  /** One search per key at a time, or two steps would both make a new directory. */
  async #acquireRef(key: string, request: CacheMountRequest): Promise<MutableRef> {
    const { signal, progress } = request;
    const status = { id: `waiting for cache mount ${request.id}`, started: this.#clock.now() };
    for (let isWaiting = false; ; isWaiting = true) {
      signal.throwIfAborted();
      const result = await this.#alone(key, async () => await this.#findOrCreate(key, request));
      if (isWaiting && result !== undefined) progress.status({ ...status, completed: this.#clock.now() });
      if (result !== undefined) return result;
      // A step that does nothing for long shall say why.
      if (!isWaiting) progress.status(status);
      await this.#waitForRelease(signal);
    }
  }

  async #alone<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#searching.get(key);
    const after = (async () => {
      await before?.catch(() => undefined);
      return await work();
    })();
    this.#searching.set(key, after);
    try {
      return await after;
    } finally {
      if (this.#searching.get(key) === after) this.#searching.delete(key);
    }
  }

  async #findOrCreate(key: string, request: CacheMountRequest): Promise<MutableRef | undefined> {
    const { signal } = request;
    let locked = false;
    for (const id of this.#cache.search(cacheMountKey, key)) {
      try {
        return await this.#cache.getMutable(id, { signal });
      } catch (error) {
        signal.throwIfAborted();
        // Any other failure means that this directory is lost: a cache never fails a build.
        if (BuildError.from(error).code === "failed_precondition") locked = true;
      }
    }
    if (locked && request.sharing === "locked") return undefined;
    const ref = await this.#cache.create(request.base, {
      signal,
      progress: request.progress,
      session: request.session,
      description: request.description,
      recordType: "exec.cachemount",
      retain: true,
    });
    ref.metadata.set(cacheMountKey, key, { index: true });
    ref.metadata.set(cacheMountIdKey, request.id, { index: true });
    return ref;
  }

  async #waitForRelease(signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    const wake = (): void => woken.abort(new DOMException("A cache directory was released", "AbortError"));
    this.#released.add(wake);
    try {
      await this.#clock.sleep(pollMs, { signal: AbortSignal.any([signal, woken.signal]) });
    } catch (error) {
      signal.throwIfAborted();
      if (!woken.signal.aborted) throw error;
    } finally {
      this.#released.delete(wake);
    }
  }
}

/** The cache directories of one step. */
export class CacheMountScope implements AsyncDisposable {
  readonly #mounts: CacheMounts;
  readonly #known = new Map<string, CacheMount>();

  constructor(mounts: CacheMounts) {
    this.#mounts = mounts;
  }

  async mount(request: CacheMountRequest): Promise<HeldMounts> {
    const key = mountKey(request);
    const known = this.#known.get(key) ?? (await this.#mounts.acquire(request));
    this.#known.set(key, known);
    // It stays mounted until the step ends.
    return { mounts: known.mounts, [Symbol.asyncDispose]: async () => undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using stack = new AsyncDisposableStack();
    for (const mount of this.#known.values()) stack.use(mount);
    this.#known.clear();
  }
}

/** Requests with equal keys are for one directory. */
export function mountKey({ id, base }: CacheMountRequest): string {
  return base === undefined ? id : `${id}:${base.id}`;
}
