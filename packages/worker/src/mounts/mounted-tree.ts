import type { HeldMounts, ImmutableRef, MutableRef } from "@buildkit-ts/cache";
import { type MountTemporarilyOptions, mountTemporarily } from "@buildkit-ts/mount";
import type { OpContext } from "@buildkit-ts/solver";
import { refOptions } from "../ref-options.ts";

/** A tree at a path of the daemon's own. Disposing takes away the mounts. */
export class MountedTree implements AsyncDisposable {
  readonly path: string;
  /** The tree's own directory at `path`, not a mount of it: its files can be linked from there. */
  readonly isPlain: boolean;
  readonly #mounts: AsyncDisposable;

  private constructor(place: { readonly path: string; readonly isPlain: boolean }, mounts: AsyncDisposable) {
    this.path = place.path;
    this.isPlain = place.isPlain;
    this.#mounts = mounts;
  }

  /** A view of a ref that nobody writes to; the ref stays the caller's. @param parent Where a mount point can be made. */
  static async view(ref: ImmutableRef, parent: string, context: OpContext): Promise<MountedTree> {
    const { signal } = context;
    return await MountedTree.#mount(await ref.mount(refOptions(context)), { signal, parent, onlyReads: true });
  }

  /** A tree to write to, which stays the caller's. */
  static async writable(
    ref: MutableRef,
    options: { readonly signal: AbortSignal; readonly parent: string },
  ): Promise<MountedTree> {
    return await MountedTree.#mount(await ref.mount({ signal: options.signal }), options);
  }

  static async #mount(held: HeldMounts, options: MountTemporarilyOptions): Promise<MountedTree> {
    await using stack = new AsyncDisposableStack();
    const { mounts } = stack.use(held);
    const { path } = stack.use(await mountTemporarily(mounts, options));
    return new MountedTree({ path, isPlain: mounts[0]?.source === path }, stack.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#mounts[Symbol.asyncDispose]();
  }
}
