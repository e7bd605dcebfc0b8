import { BuildError } from "@buildkit-ts/errdefs";
import type { ChainId } from "@buildkit-ts/oci";
import type { CacheCore } from "./cache-core.ts";
import type { CacheRecord } from "./record/cache-record.ts";
import type { CompressionOptions, HeldMounts, ImmutableRef, RefOptions, Remote } from "./refs.ts";
import { heldMounts } from "./trees/snapshot-views.ts";

/** A hold on an immutable record. */
export class LocalImmutableRef implements ImmutableRef {
  readonly #core: CacheCore;
  readonly record: CacheRecord;
  #isReleased = false;

  /** Takes a hold of its own. */
  constructor(core: CacheCore, record: CacheRecord) {
    this.#core = core;
    this.record = record;
    core.hold(record);
  }

  get id(): string {
    return this.record.id;
  }

  get description(): string {
    return this.record.values.description;
  }

  get createdAt(): number {
    return this.record.values.createdAt;
  }

  get isLazy(): boolean {
    return this.record.values.snapshot === undefined;
  }

  get chainId(): ChainId | undefined {
    const isKnown = this.record.layers().every(({ values }) => values.blobs.length > 0);
    return isKnown ? this.record.chainId : undefined;
  }

  clone(): ImmutableRef {
    this.#checkHeld();
    return new LocalImmutableRef(this.#core, this.record);
  }

  layerChain(): ImmutableRef[] {
    this.#checkHeld();
    return this.record.layers().map((record) => new LocalImmutableRef(this.#core, record));
  }

  async mount(options: RefOptions & { readonly writable?: boolean }): Promise<HeldMounts> {
    this.#checkHeld();
    const { extractor, views } = this.#core;
    const hold = new LocalImmutableRef(this.#core, this.record);
    try {
      const snapshot = await extractor.extract(this.record, options);
      const held = options.writable === true ? await views.acquireWritable(snapshot) : await views.acquire(snapshot);
      return heldMounts(held.mounts, async () => {
        await using _hold = hold;
        await held[Symbol.asyncDispose]();
      });
    } catch (error) {
      await hold[Symbol.asyncDispose]();
      throw error;
    }
  }

  async extract(options: RefOptions): Promise<void> {
    this.#checkHeld();
    await using _hold = this.clone();
    await this.#core.extractor.extract(this.record, options);
  }

  async remote(compression: CompressionOptions, options: RefOptions): Promise<Remote> {
    this.#checkHeld();
    await using _hold = this.clone();
    return await this.#core.layerBlobs.describe(this.record, compression, options);
  }

  async checkPresent(): Promise<void> {
    await this.#core.losses.checkPresent(this.record);
  }

  get isLost(): boolean {
    return this.record.isLost;
  }

  restsOn(record: string): boolean {
    return this.record.restsOn(record);
  }

  async size(options: { readonly signal: AbortSignal }): Promise<number> {
    return await this.#core.usage.measure(this.record, options);
  }

  #checkHeld(): void {
    if (this.#isReleased)
      throw new BuildError("failed_precondition", `Cannot use ref "${this.record.id}": it was released`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    await this.#core.release(this.record);
  }
}
