import type {
  CacheManager,
  HeldMounts,
  ImmutableRef,
  KnownDigests,
  LocalCacheManager,
  MutableRef,
} from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import type { ReceiveResult } from "@buildkit-ts/session";
import { findPlainDirectory, getPlainDirectory } from "../plain-directory.ts";
import type { SourceContext } from "../source.ts";
import type { ChangingContexts } from "./changing-contexts.ts";
import { digestChanges } from "./digest-changes.ts";

const sharedKeyName = "local.sharedKey";
const unfinishedName = "local.unfinished";
const xattrsName = "local.directoryXattrs";

/** What a context needs of the cache: versions, and digests of files that need not be read for them again. */
export type ContextCache = CacheManager &
  Pick<LocalCacheManager, "getContentDigests" | "setContentDigests" | "takeOver">;

/** Which context is synced, and for whom. */
export interface NextVersionOptions {
  readonly cache: ContextCache;
  readonly changing: ChangingContexts;
  /** By which the version before is found. */
  readonly sharedKey: string;
  readonly description: string;
  readonly context: SourceContext;
}

/**
 * The version of a context that a sync makes, and the one before.
 *
 *     open ──▶ before known ──first change──▶ tree taken over, or new ──finish()──▶ version
 *                     └───────────no change, finish()─────────────────────────────▶ the one before
 *
 * Disposed without being finished, a tree that was taken over is kept for the next sync to compare with: what is in it has
 * been sent already. It has no digests, and nobody is given it before a sync has found it to be what the client has.
 */
export class NextVersion implements AsyncDisposable {
  readonly #options: NextVersionOptions;
  readonly #previous: ImmutableRef | undefined;
  readonly #view: HeldMounts | undefined;
  /** Digests of the version before: taking it over ends what is known of it. */
  #digests: KnownDigests | undefined;
  #opening: Promise<string> | undefined;
  #next: MutableRef | undefined;
  #target: HeldMounts | undefined;
  #isTakenOver = false;
  #change: Disposable | undefined;
  #isFinished = false;

  private constructor(
    options: NextVersionOptions,
    before: { readonly previous: ImmutableRef | undefined; readonly view: HeldMounts | undefined },
  ) {
    this.#options = options;
    this.#previous = before.previous;
    this.#view = before.view;
  }

  /** Finds the version before, if there is one. */
  static async open(options: NextVersionOptions): Promise<NextVersion> {
    const { cache, changing, sharedKey, context } = options;
    const { signal, progress } = context;
    let previous = await findVersion(cache, sharedKey, signal);
    if (previous === undefined) {
      await changing.settled(sharedKey, { signal, progress });
      previous = await findVersion(cache, sharedKey, signal);
    }
    try {
      return new NextVersion(options, { previous, view: await previous?.mount({ signal, progress }) });
    } catch (error) {
      await previous?.[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The tree of the version before. */
  get previousDirectory(): string | undefined {
    return this.#view === undefined ? undefined : findPlainDirectory(this.#view);
  }

  /** Whether the sync that made the version before did not come to its end. */
  get isPreviousUnfinished(): boolean {
    const id = this.#previous?.id;
    return id !== undefined && this.#options.cache.metadata(id).get(unfinishedName) !== undefined;
  }

  /** With which extended attributes directories were listed when the version before was made. */
  get previousXattrs(): string {
    const id = this.#previous?.id;
    return (id === undefined ? undefined : this.#options.cache.metadata(id).get(xattrsName)) ?? "";
  }

  /** Where the version is made: the tree of the one before, if nobody else has anything to do with it, or an empty one. */
  async openDirectory(): Promise<string> {
    this.#opening ??= this.#open();
    return await this.#opening;
  }

  async #open(): Promise<string> {
    const { cache, changing, sharedKey, description, context } = this.#options;
    const previous = this.#previous;
    const options = { signal: context.signal, description, recordType: "source.local" } as const;
    this.#digests = previous && cache.getContentDigests(previous.id);
    // What is viewed cannot be taken over. If it is not, this hold keeps its files where they are.
    await this.#view?.[Symbol.asyncDispose]();
    using change = new DisposableStack();
    change.use(changing.begin(sharedKey));
    const taken = previous === undefined ? undefined : await cache.takeOver(previous, options);
    this.#isTakenOver = taken !== undefined;
    if (taken !== undefined) this.#change = change.move();
    this.#next = taken ?? (await cache.create(undefined, options));
    this.#target = await this.#next.mount({ signal: context.signal });
    return getPlainDirectory(this.#target);
  }

  /** @returns The version that is what the client has, a hold of the caller's own. */
  async finish(result: ReceiveResult): Promise<ImmutableRef> {
    const previous = this.#previous;
    const next = this.#next;
    // The sync may have been a no-op: then everything that was computed for the version before still holds.
    if (previous !== undefined && !this.#isTakenOver && result.changes.length === 0) {
      this.#options.cache.metadata(previous.id).set(xattrsName, result.directoryXattrs || undefined);
      return previous.clone();
    }
    if (next === undefined)
      throw new BuildError("internal", "Cannot finish the version of a context: it was not begun");
    const { cache, context } = this.#options;
    next.metadata.set(xattrsName, result.directoryXattrs || undefined);
    await using committed = new AsyncDisposableStack();
    // Also if it cannot be committed: there would be no point in doing so once more.
    this.#isFinished = true;
    const version = committed.use(await this.#commit(next));
    const changes = digestChanges(result);
    // Of a version before that has none, nothing is known of what did not come.
    const known = this.#digests;
    if (changes !== undefined && (known !== undefined || previous === undefined))
      await cache.setContentDigests(version.id, { known, changes }, { signal: context.signal });
    if (previous !== undefined && !this.#isTakenOver) await this.#drop(previous);
    committed.move();
    return version;
  }

  async #commit(next: MutableRef): Promise<ImmutableRef> {
    next.metadata.set(sharedKeyName, this.#options.sharedKey, { index: true });
    await this.#target?.[Symbol.asyncDispose]();
    return await next.commit();
  }

  /** Deletes a version now, unless somebody uses it; then the garbage collector does, later. */
  async #drop(version: ImmutableRef): Promise<void> {
    const { cache, context } = this.#options;
    const { signal } = context;
    cache.metadata(version.id).set(sharedKeyName, undefined);
    await version[Symbol.asyncDispose]();
    if (signal.aborted) return;
    const none = { keepDurationMs: 0, reservedSpaceBytes: 0, maxUsedSpaceBytes: 0, minFreeSpaceBytes: 0 };
    const pruned = cache.prune({ ...none, filters: [`id==${version.id}`], all: true, signal });
    for await (const _record of pruned) signal.throwIfAborted();
  }

  async #keepUnfinished(next: MutableRef): Promise<void> {
    next.metadata.set(unfinishedName, "true");
    await using _version = await this.#commit(next);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opening?.catch(() => undefined);
    await using held = new AsyncDisposableStack();
    held.use(this.#change);
    for (const each of [this.#previous, this.#view, this.#next, this.#target]) if (each !== undefined) held.use(each);
    if (this.#isTakenOver && !this.#isFinished && this.#next !== undefined) await this.#keepUnfinished(this.#next);
  }
}

async function findVersion(
  cache: ContextCache,
  sharedKey: string,
  signal: AbortSignal,
): Promise<ImmutableRef | undefined> {
  for (const id of cache.search(sharedKeyName, sharedKey).toReversed()) {
    await using dropped = new AsyncDisposableStack();
    try {
      const version = dropped.use(await cache.get(id, { signal }));
      await version.checkPresent();
      dropped.move();
      return version;
    } catch (error) {
      // It may be collected, or be a version that another sync is writing, or somebody has deleted its files.
      if (!(error instanceof BuildError) || error.code === "canceled") throw error;
    }
  }
  return undefined;
}
