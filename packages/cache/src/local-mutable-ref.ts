import { BuildError } from "@buildkit-ts/errdefs";
import type { CacheCore } from "./cache-core.ts";
import { LocalImmutableRef } from "./local-immutable-ref.ts";
import type { CacheRecord } from "./record/cache-record.ts";
import type { CommitOptions, HeldMounts, ImmutableRef, LayerDirectory, Metadata, MutableRef } from "./refs.ts";
import { heldMounts, readonlyMounts } from "./trees/snapshot-views.ts";

/** The one hold on a mutable record. */
export class LocalMutableRef implements MutableRef {
  readonly #core: CacheCore;
  readonly #record: CacheRecord;
  readonly metadata: Metadata;
  #mounts = 0;
  #isLayerOpen = false;
  #isEnded = false;

  /** Takes the hold. */
  constructor(core: CacheCore, record: CacheRecord) {
    this.#core = core;
    this.#record = record;
    this.metadata = core.metadata(record.id);
    core.hold(record);
  }

  get id(): string {
    return this.#record.id;
  }

  async mount(options: { readonly signal: AbortSignal; readonly readonly?: boolean }): Promise<HeldMounts> {
    options.signal.throwIfAborted();
    const snapshot = this.#snapshot();
    if (this.#isLayerOpen)
      throw new BuildError("failed_precondition", `Cannot mount ref "${this.id}": its layer is written to`);
    this.#mounts += 1;
    try {
      const mounts = await this.#core.snapshotter.mounts(snapshot);
      return heldMounts(options.readonly === true ? readonlyMounts(mounts) : mounts, async () => {
        this.#mounts -= 1;
        await Promise.resolve();
      });
    } catch (error) {
      this.#mounts -= 1;
      throw error;
    }
  }

  async openLayer(): Promise<LayerDirectory | undefined> {
    const key = this.#snapshot();
    if (this.#mounts > 0 || this.#isLayerOpen)
      throw new BuildError("failed_precondition", `Cannot write to layer of ref "${this.id}": it is mounted`);
    const { snapshotter } = this.#core;
    this.#isLayerOpen = true;
    await using close = new AsyncDisposableStack();
    close.defer(() => void (this.#isLayerOpen = false));
    const path = await snapshotter.upperDir(key);
    if (path === undefined) return undefined;
    const linkedInodes = await snapshotter.linkedInodes(key);
    const held = close.move();
    return {
      path,
      linkedInodes,
      noteLinks: async (source, inodes) => await this.#noteLinks(key, source, inodes),
      [Symbol.asyncDispose]: async () => await held.disposeAsync(),
    };
  }

  async #noteLinks(key: string, source: ImmutableRef, inodes: BigUint64Array): Promise<void> {
    const { snapshot } = this.#core.get(source.id).values;
    if (snapshot === undefined || inodes.length === 0) return;
    await this.#core.snapshotter.noteLinks(key, { sources: [snapshot], inodes });
  }

  async commit(options: CommitOptions = {}): Promise<ImmutableRef> {
    const key = this.#snapshot();
    if (this.#mounts > 0 || this.#isLayerOpen)
      throw new BuildError("failed_precondition", `Cannot commit ref "${this.id}": it is mounted`);
    this.#isEnded = true;
    try {
      await this.#core.snapshotter.commit(this.id, key);
    } catch (error) {
      this.#isEnded = false;
      throw error;
    }
    // What it is built on may have been lost meanwhile.
    this.#record.isTransient = options.transient === true || this.#record.isLost;
    try {
      this.#core.registry.update(this.#record, { mutable: false, snapshot: this.id, sizeBytes: undefined });
    } catch (error) {
      // The row names a snapshot that is not there any more, so the record goes with this hold.
      this.#record.isTransient = true;
      this.#isEnded = false;
      throw error;
    }
    const committed = new LocalImmutableRef(this.#core, this.#record);
    // This hold passes to the new ref, so that the record counts one use.
    this.#record.holds -= 1;
    return committed;
  }

  #snapshot(): string {
    const { snapshot } = this.#record.values;
    if (this.#isEnded || snapshot === undefined)
      throw new BuildError("failed_precondition", `Cannot use ref "${this.id}": it was released`);
    return snapshot;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    await this.#core.release(this.#record);
  }
}
