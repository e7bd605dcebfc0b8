import type { MergeTarget, Place } from "./merge-target.ts";
import { hasSameAttributes, isSameFile } from "./same-entry.ts";
import { type Entry, isOpaque, nameKey, type StackDirectory, type TreeForm } from "./stack-directory.ts";

interface LayerTrees {
  /** The layer alone. */
  readonly upper: StackDirectory;
  /** What it lies on. */
  readonly lower: StackDirectory;
}

/**
 * Makes the changes of one layer: what it holds that is another thing below it, and what its marks delete of the layers below
 * it. What was only copied up is no change.
 */
export class LayerMerger {
  readonly #target: MergeTarget;
  readonly #form: TreeForm;

  constructor(target: MergeTarget, form: TreeForm) {
    this.#target = target;
    this.#form = form;
  }

  mergeRoot(trees: LayerTrees): void {
    this.#mergeChildren(trees, () => this.#target.root);
  }

  /** @param place Makes the directory at its first call. */
  #mergeChildren({ upper, lower }: LayerTrees, place: () => Place): void {
    for (const entry of upper.entries()) {
      const before = lower.find(entry.path);
      if (this.#form.kind === "layers" && entry.stat.isWhiteout()) {
        if (before !== undefined) this.#target.remove(place(), entry.path);
      } else if (entry.stat.isDirectory()) this.#mergeDirectory({ upper, lower }, { before, after: entry }, place);
      else if (before === undefined || !isSameFile(before, entry)) this.#target.put(place(), entry);
    }
  }

  #mergeDirectory(
    trees: LayerTrees,
    change: { readonly before: Entry | undefined; readonly after: Entry },
    place: () => Place,
  ): void {
    const { before, after } = change;
    using upper = trees.upper.child(after.path);
    using lower = trees.lower.child(after.path);
    const inside = this.#target.directory(after, place);
    try {
      if (before?.stat.isDirectory() !== true || !hasSameAttributes(before, after)) inside.enter();
      if (isOpaque(after, this.#form)) {
        const kept = new Set(upper.entries().map(({ path }) => nameKey(path)));
        for (const name of lower.names()) if (!kept.has(nameKey(name))) this.#target.remove(inside.enter(), name);
      }
      this.#mergeChildren({ upper, lower }, inside.enter);
    } finally {
      inside.leave();
    }
  }
}
