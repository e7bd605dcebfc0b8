import type { MergeTarget, Place } from "./merge-target.ts";
import { type Entry, isOpaque, nameKey, StackDirectory, type TreeForm } from "./stack-directory.ts";

/** Makes the changes of one layer: all that it holds, and what its marks delete of the layers below it. */
export class LayerMerger {
  readonly #target: MergeTarget;
  readonly #form: TreeForm;

  constructor(target: MergeTarget, form: TreeForm) {
    this.#target = target;
    this.#form = form;
  }

  /** @param trees `upper` is the layer alone, `lower` what it lies on. */
  mergeRoot(trees: { readonly lower: StackDirectory; readonly upper: StackDirectory }): void {
    this.#mergeChildren(trees.upper, trees.lower, this.#target.root);
  }

  #mergeChildren(layer: StackDirectory, lower: StackDirectory, place: Place): void {
    for (const entry of layer.entries()) {
      if (this.#form.kind === "layers" && entry.stat.isWhiteout()) this.#target.remove(place, entry.path);
      else if (entry.stat.isDirectory()) this.#mergeDirectory({ entry, layer, lower }, place);
      else this.#target.put(place, entry);
    }
  }

  #mergeDirectory(
    source: { readonly entry: Entry; readonly layer: StackDirectory; readonly lower: StackDirectory },
    place: Place,
  ): void {
    const { entry } = source;
    using layer = source.layer.child(entry.path);
    using lower = source.lower.child(entry.path);
    const inside = this.#target.enter(place, entry.path);
    try {
      if (isOpaque(entry, this.#form)) {
        const kept = new Set(layer.entries().map(({ path }) => nameKey(path)));
        for (const name of lower.names()) if (!kept.has(nameKey(name))) this.#target.remove(inside, name);
      }
      this.#mergeChildren(layer, lower, inside);
    } finally {
      this.#target.leave(inside, { fd: place.fd, path: entry.path }, entry);
    }
  }
}
