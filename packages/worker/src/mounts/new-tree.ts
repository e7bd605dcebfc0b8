import type { CacheManager, CommitOptions, ImmutableRef, MutableRef, NewRefOptions } from "@buildkit-ts/cache";
import { canLink, type FileAction, type FileBackend } from "@buildkit-ts/fileop";
import type { OpContext } from "@buildkit-ts/solver";
import { refOptions } from "../ref-options.ts";
import { MountedTree } from "./mounted-tree.ts";

export interface NewTreeOptions {
  readonly cache: Pick<CacheManager, "create">;
  readonly fileBackend: FileBackend;
  readonly temporaryDirectory: string;
  readonly context: OpContext;
  readonly description: string;
}

/** What a copy reads: a tree, and the ref that it is a view of, if it is an immutable one. */
export interface CopySource {
  readonly tree: { readonly path: string; readonly isPlain: boolean };
  readonly ref: ImmutableRef | undefined;
}

/**
 * A tree on top of another one that file actions change.
 *
 *     untouched ──copies of immutable trees──▶ layer written, unmounted ──any action──▶ mounted ──commit()──▶ a ref
 *
 * Files of immutable trees are linked into the layer, not copied, as long as nobody has mounted it.
 */
export class NewTree implements AsyncDisposable {
  readonly #options: NewTreeOptions;
  readonly #base: ImmutableRef | undefined;
  #mutable: MutableRef | undefined;
  #mounted: MountedTree | undefined;

  private constructor(options: NewTreeOptions, base: ImmutableRef | undefined, mutable: MutableRef) {
    this.#options = options;
    this.#base = base;
    this.#mutable = mutable;
  }

  static async create(base: ImmutableRef | undefined, options: NewTreeOptions): Promise<NewTree> {
    const { cache, context, description } = options;
    const refs: NewRefOptions = { ...refOptions(context), description };
    return new NewTree(options, base, await cache.create(base, refs));
  }

  async apply(action: FileAction, source: CopySource | undefined): Promise<void> {
    if (source !== undefined && canLink(action) && (await this.#link(action, source))) return;
    const { fileBackend, context } = this.#options;
    const { path } = await this.mount();
    const roots = { target: path, ...(source !== undefined && { source: source.tree.path }) };
    await fileBackend.apply(action, roots, { signal: context.signal });
  }

  /** The tree where it can be read and written. */
  async mount(): Promise<MountedTree> {
    const { context, temporaryDirectory } = this.#options;
    const options = { signal: context.signal, parent: temporaryDirectory };
    this.#mounted ??= await MountedTree.writable(this.#ref(), options);
    return this.#mounted;
  }

  /** @returns whether the action was done. */
  async #link(action: FileAction, { tree, ref }: CopySource): Promise<boolean> {
    if (this.#mounted !== undefined || ref === undefined || !tree.isPlain) return false;
    const { fileBackend, context, temporaryDirectory } = this.#options;
    await using layer = await this.#ref().openLayer();
    if (layer === undefined) return false;
    await using below = this.#base && (await MountedTree.view(this.#base, temporaryDirectory, context));
    const inodes = await fileBackend.apply(
      action,
      { target: layer.path, source: tree.path, layer: { below: below?.path, inodesBelow: layer.linkedInodes } },
      { signal: context.signal },
    );
    await layer.noteLinks(ref, inodes);
    return true;
  }

  /** Ends this tree and gives what was written as a ref, which is the caller's. */
  async commit(options: CommitOptions = {}): Promise<ImmutableRef> {
    const mutable = this.#ref();
    await this.#mounted?.[Symbol.asyncDispose]();
    const ref = await mutable.commit(options);
    this.#mutable = undefined;
    return ref;
  }

  #ref(): MutableRef {
    if (this.#mutable === undefined) throw new TypeError("The tree was committed");
    return this.#mutable;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const mutable = this.#mutable;
    this.#mutable = undefined;
    try {
      await this.#mounted?.[Symbol.asyncDispose]();
    } finally {
      await mutable?.[Symbol.asyncDispose]();
    }
  }
}
