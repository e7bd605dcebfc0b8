import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { CacheManager, ImmutableRef } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import type { SessionManager } from "@buildkit-ts/session";
import type { BlobOrigin } from "../blob/blob-origin.ts";
import { resolveOnce } from "../build-resolves.ts";
import { KeyedLocks } from "../keyed-locks.ts";
import { getPlainDirectory } from "../plain-directory.ts";
import {
  compatibilityVersionKey,
  type Source,
  type SourceCacheKey,
  type SourceContext,
  type SourceInstance,
  type SourceRequest,
} from "../source.ts";
import type { MetadataRequest, SourceMetadata } from "../source-metadata.ts";
import { type GitAccess, openGitAccess } from "./git-access.ts";
import { stageBundle, writeBundle } from "./git-bundle.ts";
import { checkOut } from "./git-checkout.ts";
import { type GitIdentifier, gitCacheKey, isCommitId, parseGitIdentifier, redactUrls } from "./git-identifier.ts";
import { GitMirrors, type OpenMirror } from "./git-mirrors.ts";
import { type ResolvedRef, resolveRef } from "./resolve-ref.ts";
import { type SignedObjects, verifyGitSignature } from "./verify-signature.ts";

const snapshotKey = "git.snapshot";

/** The compatibility version whose checkouts everybody could write to. */
const oldModesVersion = 10;

/** What {@linkcode GitSource} works with. */
export interface GitSourceOptions {
  readonly cache: CacheManager;
  readonly sessions: SessionManager;
  /** Where bundles come from. */
  readonly blobs: BlobOrigin;
}

/** Repositories (`git://host/path#ref:directory`), fetched into one mirror for each remote by the `git` program. */
export class GitSource implements Source {
  readonly schemes: readonly string[] = ["git"];
  readonly #services: GitServices;

  constructor(options: GitSourceOptions) {
    this.#services = { ...options, locks: new KeyedLocks(), mirrors: new GitMirrors(options.cache) };
  }

  resolve(request: SourceRequest): SourceInstance {
    return new GitInstance(parseGitIdentifier(request), this.#services);
  }

  async resolveMetadata(
    request: SourceRequest,
    wanted: MetadataRequest,
    context: SourceContext,
  ): Promise<SourceMetadata> {
    return await new GitInstance(parseGitIdentifier(request), this.#services).metadata(wanted, context);
  }
}

interface GitServices extends GitSourceOptions {
  readonly locks: KeyedLocks;
  readonly mirrors: GitMirrors;
}

class GitInstance implements SourceInstance {
  readonly #id: GitIdentifier;
  readonly #services: GitServices;
  #resolved: ResolvedRef | undefined;

  constructor(id: GitIdentifier, services: GitServices) {
    this.#id = id;
    this.#services = services;
  }

  async cacheKey(_index: number, context: SourceContext): Promise<SourceCacheKey> {
    const resolved = await this.#resolve(context);
    // Before the key is known: a result of the cache must not make up for a signature that is missing.
    if (this.#id.signature !== undefined) await this.#verified(resolved, context);
    return { key: gitCacheKey(this.#id, resolved.commit, resolved.ref), pin: resolved.object, done: true };
  }

  async metadata(wanted: MetadataRequest, context: SourceContext): Promise<SourceMetadata> {
    const resolved = await this.#resolve(context);
    const { ref, object: checksum, peeled: commitChecksum } = resolved;
    const needsObjects = wanted.gitObjects || this.#id.signature !== undefined;
    const objects = needsObjects ? await this.#verified(resolved, context) : undefined;
    return {
      kind: "git",
      ref,
      checksum,
      commitChecksum,
      commitObject: objects?.commit.bytes,
      tagObject: objects?.tag?.bytes,
    };
  }

  async snapshot(context: SourceContext): Promise<ImmutableRef> {
    const resolved = await this.#resolve(context);
    if (this.#id.signature !== undefined) await this.#verified(resolved, context);
    const { cache, locks } = this.#services;
    const { signal } = context;
    const hasOldModes = !this.#id.checkOutBundle && context.values(compatibilityVersionKey).includes(oldModesVersion);
    const tree = `${gitCacheKey(this.#id, resolved.commit, resolved.ref)}:${this.#id.subdirectory}`;
    const key = hasOldModes ? `${tree}:old-modes` : tree;
    using _lock = await locks.acquire(key, { signal });
    for (const id of cache.search(snapshotKey, key)) {
      const ref = await this.#find(id, signal);
      if (ref !== undefined) return ref;
    }
    await using access = await this.#openAccess(context);
    return await this.#checkOut(access, { resolved, key, hasOldModes }, context);
  }

  async #resolve(context: SourceContext): Promise<ResolvedRef> {
    const { remote, ref, checksum, fetchByCommit, keepGitDirectory, bundle } = this.#id;
    const key = JSON.stringify(["git", remote, ref, checksum, fetchByCommit, keepGitDirectory, bundle?.digest]);
    this.#resolved ??= await resolveOnce(key, context, async (inner) => {
      const { signal } = inner;
      const pinned = this.#pinnedByBundle();
      if (pinned !== undefined) return pinned;
      await using access = await this.#openAccess(inner);
      const from = bundle === undefined ? undefined : await this.#stage(access, inner);
      return await resolveRef(access.git, this.#id, { signal, ...(from !== undefined && { from }) });
    });
    return this.#resolved;
  }

  /** A bundle without a name for the commit says nothing that the checksum does not. */
  #pinnedByBundle(): ResolvedRef | undefined {
    const { bundle, ref, checksum } = this.#id;
    if (bundle === undefined || (ref !== "" && !isCommitId(ref))) return undefined;
    return { ref: checksum, object: checksum, commit: checksum, peeled: undefined };
  }

  async #openAccess(context: SourceContext): Promise<GitAccess> {
    return await openGitAccess(this.#id, this.#services.sessions, context);
  }

  async #stage(access: GitAccess, context: SourceContext): Promise<string> {
    const directory = join(access.directory, "bundle");
    await mkdir(directory);
    return await stageBundle(access.git, { id: this.#id, blobs: this.#services.blobs, directory }, context);
  }

  async #openMirror(access: GitAccess, resolved: ResolvedRef, context: SourceContext): Promise<OpenMirror> {
    const from = this.#id.bundle === undefined ? {} : { from: async () => await this.#stage(access, context) };
    return await this.#services.mirrors.open(access.git, { id: this.#id, resolved, ...from }, context);
  }

  /** The objects that the ref leads to, signed as the source asks for. */
  async #verified(resolved: ResolvedRef, context: SourceContext): Promise<SignedObjects> {
    const { object, peeled } = resolved;
    const key = JSON.stringify(["git objects", this.#id.remote, object]);
    const objects = await resolveOnce(key, context, async (inner): Promise<SignedObjects> => {
      await using access = await this.#openAccess(inner);
      await using mirror = await this.#openMirror(access, resolved, inner);
      const git = access.git.at({ gitDirectory: mirror.directory });
      const { signal } = inner;
      const commit = { id: peeled ?? object, bytes: await git.readObject("commit", peeled ?? object, { signal }) };
      const tag =
        peeled === undefined ? undefined : { id: object, bytes: await git.readObject("tag", object, { signal }) };
      return { commit, tag };
    });
    if (this.#id.signature !== undefined) await verifyGitSignature(objects, this.#id.signature);
    return objects;
  }

  async #checkOut(
    access: GitAccess,
    wanted: { readonly resolved: ResolvedRef; readonly key: string; readonly hasOldModes: boolean },
    context: SourceContext,
  ): Promise<ImmutableRef> {
    const { cache } = this.#services;
    const { signal } = context;
    const shown = redactUrls(this.#id.remote);
    await using mirror = await this.#openMirror(access, wanted.resolved, context);
    await using tree = await cache.create(undefined, {
      signal,
      description: `git snapshot for ${shown}#${this.#id.ref}`,
      recordType: "source.git.checkout",
    });
    {
      await using target = await tree.mount({ signal });
      const request = {
        id: this.#id,
        resolved: wanted.resolved,
        mirror: mirror.directory,
        target: getPlainDirectory(target),
        hasOldModes: wanted.hasOldModes,
      };
      if (this.#id.checkOutBundle)
        await writeBundle(access.git, { ...request, directory: access.directory }, { signal });
      else await checkOut(access.git, request, { signal });
    }
    tree.metadata.set(snapshotKey, wanted.key, { index: true });
    return await tree.commit();
  }

  async #find(id: string, signal: AbortSignal): Promise<ImmutableRef | undefined> {
    try {
      return await this.#services.cache.get(id, { signal });
    } catch (error) {
      if (error instanceof BuildError && error.code === "not_found") return undefined;
      throw error;
    }
  }
}
