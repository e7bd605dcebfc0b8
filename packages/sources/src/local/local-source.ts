import type { ImmutableRef } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { type ReceiveResult, receiveFiles, type SessionCaller, type SessionManager } from "@buildkit-ts/session";
import { withAnySession } from "../any-session.ts";
import type { Source, SourceCacheKey, SourceContext, SourceInstance, SourceRequest } from "../source.ts";
import { ChangingContexts } from "./changing-contexts.ts";
import { reportLargeContent } from "./large-content.ts";
import { type LocalIdentifier, localCacheKey, parseLocalIdentifier } from "./local-identifier.ts";
import { type ContextCache, NextVersion } from "./next-version.ts";
import { TransferStatus } from "./transfer-status.ts";

/** What {@linkcode LocalSource} works with. */
export interface LocalSourceOptions {
  readonly cache: ContextCache;
  readonly sessions: SessionManager;
}

/**
 * Directories of clients (`local://name`).
 *
 * Each sync gives an immutable *version*. It starts as the version before, found by a key that the client gives its
 * directories, so that only changed files travel and are written. If nobody uses that one any more, its tree becomes the new
 * version's; otherwise the new one has hard links to its files. In neither case is anything written into a file that is
 * there: results of steps have links to it.
 */
export class LocalSource implements Source {
  readonly schemes: readonly string[] = ["local"];
  readonly #options: LocalSourceOptions;
  readonly #changing = new ChangingContexts();

  constructor(options: LocalSourceOptions) {
    this.#options = options;
  }

  resolve(request: SourceRequest): SourceInstance {
    return new LocalInstance(parseLocalIdentifier(request), { ...this.#options, changing: this.#changing });
  }
}

class LocalInstance implements SourceInstance {
  readonly #id: LocalIdentifier;
  readonly #cache: ContextCache;
  readonly #sessions: SessionManager;
  readonly #changing: ChangingContexts;

  constructor(id: LocalIdentifier, options: LocalSourceOptions & { readonly changing: ChangingContexts }) {
    this.#id = id;
    this.#changing = options.changing;
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
    const { name, sharedKeyHint, metadataOnly } = this.#id;
    await using next = await NextVersion.open({
      cache: this.#cache,
      changing: this.#changing,
      sharedKey: `${name}:${sharedKeyHint}:${caller.sharedKey}${metadataOnly ? ":metadata" : ""}`,
      description: `local source for ${name}`,
      context,
    });
    return await next.finish(await this.#transfer(caller, next, context));
  }

  async #transfer(caller: SessionCaller, next: NextVersion, context: SourceContext): Promise<ReceiveResult> {
    const { signal, progress } = context;
    const { includePatterns, excludePatterns, followPaths, metadataOnly, metadataExceptions } = this.#id;
    using status = new TransferStatus(progress, `transferring ${this.#id.name}:`);
    const previous = next.previousDirectory;
    const open = async (): Promise<string> => await next.openDirectory();
    const result = await receiveFiles(
      caller,
      {
        name: this.#id.name,
        destination: previous === undefined ? await open() : open,
        differ: this.#id.differ,
        // The list of a tree without its files is no part of the digests.
        digests: !metadataOnly,
        onProgress: (bytes) => status.update(bytes),
        onExpected: (content) => reportLargeContent(progress, content),
        ...(previous !== undefined && {
          previous,
          isUnfinished: next.isPreviousUnfinished,
          previousXattrs: next.previousXattrs,
        }),
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
}
