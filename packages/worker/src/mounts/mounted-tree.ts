import type { CacheManager, ImmutableRef, MutableRef, NewRefOptions } from "@buildkit-ts/cache";
import { mountTemporarily } from "@buildkit-ts/mount";
import type { OpContext } from "@buildkit-ts/solver";

import { refOptions } from "../ref-options.ts";

/** A tree at a path of the daemon's own. Disposing takes away the mounts, and the tree's ref where it owns one. */
export class MountedTree implements AsyncDisposable {
  readonly path: string;
  readonly #mounts: AsyncDisposable;
  #mutable: MutableRef | undefined;

  private constructor(path: string, mounts: AsyncDisposable, mutable: MutableRef | undefined) {
    this.path = path;
    this.#mounts = mounts;
    this.#mutable = mutable;
  }

  /** A view of a ref that nobody writes to; the ref stays the caller's. @param parent Where a mount point can be made. */
  static async view(ref: ImmutableRef, parent: string, context: OpContext): Promise<MountedTree> {
    const { signal } = context;
    await using stack = new AsyncDisposableStack();
    const held = stack.use(await ref.mount(refOptions(context)));
    const { path } = stack.use(await mountTemporarily(held.mounts, { signal, parent, onlyReads: true }));
    return new MountedTree(path, stack.move(), undefined);
  }

  /** A new tree on top of `base` that can be written to and committed. */
  static async create(
    cache: Pick<CacheManager, "create">,
    base: ImmutableRef | undefined,
    options: NewRefOptions & { readonly parent: string },
  ): Promise<MountedTree> {
    const { parent, ...refOptions } = options;
    await using stack = new AsyncDisposableStack();
    const mutable = await cache.create(base, refOptions);
    await using owner = new AsyncDisposableStack();
    owner.use(mutable);
    const held = stack.use(await mutable.mount({ signal: options.signal }));
    const { path } = stack.use(await mountTemporarily(held.mounts, { signal: options.signal, parent }));
    owner.move();
    return new MountedTree(path, stack.move(), mutable);
  }

  /** Ends this tree and gives what was written as a ref, which is the caller's. */
  async commit(): Promise<ImmutableRef> {
    const mutable = this.#mutable;
    if (mutable === undefined) throw new TypeError("A view cannot be committed");
    await this.#mounts[Symbol.asyncDispose]();
    const ref = await mutable.commit();
    this.#mutable = undefined;
    return ref;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const mutable = this.#mutable;
    this.#mutable = undefined;
    try {
      await this.#mounts[Symbol.asyncDispose]();
    } finally {
      await mutable?.[Symbol.asyncDispose]();
    }
  }
}
