import { type Clock, type ErrorReporter, RetryLater, removalFailed, Semaphore, SingleFlight } from "@buildkit-ts/async";
import { copyBlob, type FileContentStore } from "@buildkit-ts/content";
import { BuildError, LostContentError } from "@buildkit-ts/errdefs";
import type { Descriptor, Digest } from "@buildkit-ts/oci";
import type { ProgressWriter } from "@buildkit-ts/progress";
import type { CacheRecord } from "../record/cache-record.ts";
import type { RecordRegistry } from "../record/record-registry.ts";
import type { RefOptions } from "../refs.ts";

const parallelFetches = 6;
const progressIntervalMs = 100;

/** What a {@linkcode BlobKeeper} works with. */
export interface BlobKeeperParts {
  readonly content: FileContentStore;
  readonly registry: RecordRegistry;
  readonly clock: Clock;
  /** Is told of blobs that cannot be deleted. */
  readonly reporter: ErrorReporter;
}

/** Brings the blobs of records here, and removes those that nobody names any more: again, where that fails. */
export class BlobKeeper implements AsyncDisposable {
  readonly content: FileContentStore;
  readonly #registry: RecordRegistry;
  readonly #fetches = new SingleFlight<Digest, void>();
  readonly #limit = new Semaphore(parallelFetches);
  readonly #deletions = new Map<Digest, Promise<void>>();
  readonly #removals: RetryLater<Digest>;

  constructor({ content, registry, clock, reporter }: BlobKeeperParts) {
    this.content = content;
    this.#registry = registry;
    this.#removals = new RetryLater({
      clock,
      attempt: async (digest) => await this.#delete(digest),
      onFirstFailure: (cause, digest) =>
        reporter.report(removalFailed(`Cannot delete blob "${digest}"`, cause), "delete blobs"),
    });
  }

  /** Whether the blob is here, and whole: what is used of it is looked for by this before. */
  async has(digest: Digest): Promise<boolean> {
    // A deletion that is under way must have ended, or the blob would vanish after it was found.
    await this.#deletions.get(digest);
    return (await this.content.findIntact(digest)) !== undefined;
  }

  /** Takes in a file that a worker has written. A record must name the blob already. */
  async adopt(path: string, descriptor: Descriptor): Promise<void> {
    await this.#deletions.get(descriptor.digest);
    await this.content.adopt(path, descriptor);
  }

  /** A blob of the record that is here, if any. */
  async findLocal(record: CacheRecord): Promise<Descriptor | undefined> {
    for (const descriptor of record.values.blobs) if (await this.has(descriptor.digest)) return descriptor;
    return undefined;
  }

  /**
   * A blob of the record, fetched unless one is here already.
   *
   * @throws {BuildError} `not_found`, if the record has none or nobody can provide it.
   */
  async ensureLocal(record: CacheRecord, options: RefOptions): Promise<Descriptor> {
    const local = await this.findLocal(record);
    if (local !== undefined) return local;
    const descriptor = record.values.blobs[0];
    if (descriptor === undefined)
      throw new LostContentError("not_found", `Cannot fetch cache record "${record.id}": it has no blob`, {
        record: record.id,
      });
    try {
      await this.#fetch(record, descriptor, options);
    } catch (error) {
      options.signal.throwIfAborted();
      throw LostContentError.of(error, record.id);
    }
    return descriptor;
  }

  async #fetch(record: CacheRecord, descriptor: Descriptor, options: RefOptions): Promise<void> {
    let started = false;
    const work = async (signal: AbortSignal): Promise<void> => {
      started = true;
      await this.#copy(record, descriptor, { ...options, signal });
    };
    try {
      await this.#fetches.run(descriptor.digest, work, options);
    } catch (error) {
      // Another build's session fetched, and it may have ended meanwhile: try once with our own.
      if (started || options.signal.aborted) throw error;
      await this.#fetches.run(descriptor.digest, work, options);
    }
  }

  async #copy(record: CacheRecord, descriptor: Descriptor, options: RefOptions): Promise<void> {
    const { signal, progress, session } = options;
    if (await this.has(descriptor.digest)) return;
    const { lazy } = record;
    if (lazy === undefined)
      throw new BuildError("not_found", `Cannot fetch blob "${descriptor.digest}": nobody provides it any more`);
    using _permit = await this.#limit.acquire({ signal });
    await withTransferStatus(progress, descriptor, async (onProgress) => {
      await copyBlob(lazy(session), this.content, { signal, descriptor, onProgress });
    });
    this.#registry.update(record, { sizeBytes: undefined });
  }

  /** Deletes those of the blobs that no record names and nobody has pinned. Never throws. */
  async deleteUnnamed(digests: readonly Digest[]): Promise<void> {
    for (const digest of new Set(digests)) await this.#removals.run(digest);
  }

  /** Unless it is named: since it could not be deleted somebody may have taken it into use. */
  async #delete(digest: Digest): Promise<void> {
    // Of several that wait for the same one each waits for the others as well.
    while (this.#deletions.has(digest)) await this.#deletions.get(digest);
    if (this.isNamed(digest)) return;
    const deletion = this.content.delete(digest);
    // Who waits for its end only wants to know what is here then.
    const ended = deletion.catch(() => undefined).finally(() => this.#deletions.delete(digest));
    this.#deletions.set(digest, ended);
    await deletion;
  }

  /** Those that nobody names and that still cannot be deleted. */
  async undeleted(): Promise<readonly Digest[]> {
    await this.#removals.retry();
    return [...this.#removals.left].filter((digest) => !this.isNamed(digest));
  }

  isNamed(digest: Digest): boolean {
    return this.#registry.recordsOfBlob(digest).size > 0 || this.#registry.table.isPinned(digest);
  }

  /** Keeps blobs for as long as the owner names them. Those that are being deleted are gone when this resolves. */
  async pin(owner: string, digests: readonly Digest[]): Promise<void> {
    this.#registry.table.pin(owner, digests);
    await Promise.all(digests.map(async (digest) => await this.#deletions.get(digest)));
  }

  async unpin(owner: string): Promise<void> {
    await this.deleteUnnamed(this.#registry.table.unpin(owner));
  }

  /** Leaves to the next start what could not be deleted. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#removals[Symbol.asyncDispose]();
  }
}

/** Reports a transfer as BuildKit does: a status named by the digest that counts bytes. */
async function withTransferStatus(
  progress: ProgressWriter,
  descriptor: Descriptor,
  transfer: (onProgress: (bytes: number) => void) => Promise<void>,
): Promise<void> {
  const started = Date.now();
  const base = { id: descriptor.digest, total: descriptor.size, started };
  let reportedAt = started;
  progress.status({ ...base, current: 0 });
  let current = 0;
  try {
    await transfer((bytes) => {
      current = bytes;
      const now = Date.now();
      if (now - reportedAt < progressIntervalMs) return;
      reportedAt = now;
      progress.status({ ...base, current });
    });
  } finally {
    progress.status({ ...base, current, completed: Date.now() });
  }
}
