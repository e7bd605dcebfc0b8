import { BuildError } from "@buildkit-ts/errdefs";
import type { Mount } from "@buildkit-ts/mount";
import type { Snapshotter } from "@buildkit-ts/snapshots";
import { newId } from "../record/record-registry.ts";
import type { HeldMounts } from "../refs.ts";

interface View {
  readonly mounts: Promise<Mount[]>;
  readonly key: string;
  holders: number;
}

/** Read-only views of committed snapshots, one for all who look at the same time, and writable ones for one user each. */
export class SnapshotViews {
  readonly #snapshotter: Snapshotter;
  readonly #views = new Map<string, View>();

  constructor(snapshotter: Snapshotter) {
    this.#snapshotter = snapshotter;
  }

  async acquire(snapshot: string): Promise<HeldMounts> {
    let view = this.#views.get(snapshot);
    if (view === undefined) {
      const key = `view-${newId()}`;
      view = { key, mounts: this.#snapshotter.view(key, snapshot), holders: 0 };
      this.#views.set(snapshot, view);
    }
    const held = view;
    held.holders += 1;
    try {
      return heldMounts(await held.mounts, async () => await this.#release(snapshot, held));
    } catch (error) {
      // The view was not made: those who wait for it fail likewise, and the next one tries again.
      if (this.#views.get(snapshot) === held) this.#views.delete(snapshot);
      throw error;
    }
  }

  async #release(snapshot: string, view: View): Promise<void> {
    view.holders -= 1;
    if (view.holders > 0) return;
    // Forgotten before it is removed, so that nobody is given a view that is going away.
    if (this.#views.get(snapshot) === view) this.#views.delete(snapshot);
    await this.#snapshotter.remove(view.key);
  }

  /** A tree to write to, whose changes are gone when it is disposed. */
  async acquireWritable(snapshot: string | undefined): Promise<HeldMounts> {
    const key = `scratch-${newId()}`;
    const mounts = await this.#snapshotter.prepare(key, snapshot);
    return heldMounts(mounts, async () => await this.#snapshotter.remove(key));
  }
}

/** Mounts whose release runs once. */
export function heldMounts(mounts: readonly Mount[], release: () => Promise<void>): HeldMounts {
  let released: Promise<void> | undefined;
  return { mounts, [Symbol.asyncDispose]: async () => await (released ??= release()) };
}

/** The same mounts, but nothing can be written through them. */
export function readonlyMounts(mounts: readonly Mount[]): Mount[] {
  return mounts.map((mount) => {
    const options = mount.options.filter((option) => option !== "rw" && option !== "ro");
    if (mount.type !== "overlay" && mount.type !== "fuse-overlayfs") return { ...mount, options: [...options, "ro"] };
    const upper = options.find((option) => option.startsWith("upperdir="));
    const lower = options.find((option) => option.startsWith("lowerdir="));
    if (upper === undefined) return mount;
    if (lower === undefined)
      throw new BuildError("internal", "Cannot make overlay mount read-only: it has no lowerdir");
    // Without a work directory: two overlays must not share one, and a read-only one needs none.
    const others = options.filter((option) => !/^(upperdir|lowerdir|workdir)=/.test(option));
    const directory = upper.slice("upperdir=".length);
    return { ...mount, options: [...others, `lowerdir=${directory}:${lower.slice("lowerdir=".length)}`] };
  });
}
