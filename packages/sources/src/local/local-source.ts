import type { CacheManager, ImmutableRef, LocalCacheManager, MutableRef } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { type ReceiveResult, receiveFiles, type SessionCaller, type SessionManager } from "@buildkit-ts/session";
import { withAnySession } from "../any-session.ts";
import { findPlainDirectory, getPlainDirectory } from "../plain-directory.ts";
import type { Source, SourceCacheKey, SourceContext, SourceInstance, SourceRequest } from "../source.ts";
import { type LocalIdentifier, localCacheKey, parseLocalIdentifier } from "./local-identifier.ts";
import { mergeDigests } from "./merge-digests.ts";
import { TransferStatus } from "./transfer-status.ts";

const sharedKeyName = "local.sharedKey";

/** What a context needs of the cache: versions, and digests of files that need not be read for them again. */
export type ContextCache = CacheManager & Pick<LocalCacheManager, "getContentDigests" | "setContentDigests">;

/** What {@linkcode LocalSource} works with. */
export interface LocalSourceOptions {
  readonly cache: ContextCache;
  readonly sessions: SessionManager;
}

/**
 * Directories of clients (`local://name`).
 *
 * Each sync gives an immutable *version*. It starts as hard links to the version before, found by a key that the client
 * gives its directories, so that only changed files travel and are written; nobody writes into a file that two
 * versions share. A version that nobody uses is deleted when the next one is complete.
 */
export class LocalSource implements Source {
  readonly schemes: readonly string[] = ["local"];
  readonly #options: LocalSourceOptions;

  constructor(options: LocalSourceOptions) {
    this.#options = options;
  }

  resolve(request: SourceRequest): SourceInstance {
    return new LocalInstance(parseLocalIdentifier(request), this.#options);
  }
}

class LocalInstance implements SourceInstance {
  readonly #id: LocalIdentifier;
  readonly #cache: ContextCache;
  readonly #sessions: SessionManager;

  constructor(id: LocalIdentifier, options: LocalSourceOptions) {
    this.#id = id;
    this.#cache = options.cache;
    this.#sessions = options.sessions;
  }

  async cacheKey(_index: number, context: SourceContext): Promise<SourceCacheKey> {
    const session = this.#id.session ?? context.sessions()[0];
    if (session === undefined)
      throw new BuildError("failed_precondition", "could not access local files without session");
    return { ...localCacheKey(this.#id, session), done: true };
  }

  async snapshot(context: SourceContext): Promise<ImmutableRef> {
    const { signal } = context;
    const { session } = this.#id;
    const named = session === undefined ? undefined : await this.#findSession(session, signal);
    if (named !== undefined) return await this.#sync(named, context);
    return await withAnySession(this.#sessions, context.sessions(), {
      signal,
      work: async (caller) => await this.#sync(caller, context),
    });
  }

  async #findSession(id: string, signal: AbortSignal): Promise<SessionCaller | undefined> {
    try {
      return await this.#sessions.get(id, { signal });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof BuildError) return undefined;
      throw error;
    }
  }

  async #sync(caller: SessionCaller, context: SourceContext): Promise<ImmutableRef> {
    const { signal } = context;
    const { name, sharedKeyHint, metadataOnly } = this.#id;
    const sharedKey = `${name}:${sharedKeyHint}:${caller.sharedKey}${metadataOnly ? ":metadata" : ""}`;
    await using cleanup = new AsyncDisposableStack();
    const previous = await this.#findPrevious(sharedKey, signal);
    cleanup.defer(async () => await previous?.[Symbol.asyncDispose]());
    let next: MutableRef | undefined;
    const create = async (): Promise<MutableRef> => {
      next = cleanup.use(await this.#create(signal));
      return next;
    };
    const result = await this.#transfer(caller, { previous, create, context });
    // The sync may have been a no-op: then everything that was computed for the version before still holds.
    if (previous !== undefined && result.changes.length === 0) return previous.clone();
    next ??= await create();
    next.metadata.set(sharedKeyName, sharedKey, { index: true });
    const digests = mergeDigests(previous === undefined ? [] : this.#cache.getContentDigests(previous.id), result);
    const version = await next.commit();
    await using committed = new AsyncDisposableStack();
    committed.use(version);
    if (digests !== undefined) await this.#cache.setContentDigests(version.id, digests, { signal });
    if (previous !== undefined) {
      this.#cache.metadata(previous.id).set(sharedKeyName, undefined);
      await previous[Symbol.asyncDispose]();
      await this.#prune(previous.id, signal);
    }
    committed.move();
    return version;
  }

  async #create(signal: AbortSignal): Promise<MutableRef> {
    return await this.#cache.create(undefined, {
      signal,
      description: `local source for ${this.#id.name}`,
      recordType: "source.local",
    });
  }

  /** @param work.create Makes the next version; it is called where there is something to put into it. */
  async #transfer(
    caller: SessionCaller,
    work: {
      readonly previous: ImmutableRef | undefined;
      readonly create: () => Promise<MutableRef>;
      readonly context: SourceContext;
    },
  ): Promise<ReceiveResult> {
    const { previous, create, context } = work;
    const { signal, progress } = context;
    await using mounts = new AsyncDisposableStack();
    await using old = await previous?.mount({ signal, progress });
    const oldDirectory = old === undefined ? undefined : findPlainDirectory(old);
    const { includePatterns, excludePatterns, followPaths, metadataOnly, metadataExceptions } = this.#id;
    using status = new TransferStatus(progress, `transferring ${this.#id.name}:`);
    const result = await receiveFiles(
      caller,
      {
        name: this.#id.name,
        destination: async () => getPlainDirectory(mounts.use(await (await create()).mount({ signal }))),
        differ: this.#id.differ,
        // The list of a tree without its files is no part of the digests.
        digests: !metadataOnly,
        onProgress: (bytes) => status.update(bytes),
        ...(oldDirectory !== undefined && { previous: oldDirectory }),
        ...(includePatterns !== undefined && { includePatterns }),
        ...(excludePatterns !== undefined && { excludePatterns }),
        ...(followPaths !== undefined && { followPaths }),
        ...(metadataOnly && { onlyMatching: metadataExceptions ?? [] }),
      },
      { signal },
    );
    status.update(result.bytes);
    return result;
  }

  async #findPrevious(sharedKey: string, signal: AbortSignal): Promise<ImmutableRef | undefined> {
    for (const id of this.#cache.search(sharedKeyName, sharedKey).toReversed()) {
      await using dropped = new AsyncDisposableStack();
      try {
        const version = dropped.use(await this.#cache.get(id, { signal }));
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

  /** Deletes a version now, unless somebody uses it; then the garbage collector does, later. */
  async #prune(id: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const none = { keepDurationMs: 0, reservedSpaceBytes: 0, maxUsedSpaceBytes: 0, minFreeSpaceBytes: 0 };
    const pruned = this.#cache.prune({ ...none, filters: [`id==${id}`], all: true, signal });
    for await (const _record of pruned) signal.throwIfAborted();
  }
}
