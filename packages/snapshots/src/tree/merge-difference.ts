import type { FilePath } from "@buildkit-ts/sys";
import type { MergeTarget, Place } from "./merge-target.ts";
import { hasSameAttributes, isSameFile } from "./same-entry.ts";
import { type Entry, nameKey, StackDirectory } from "./stack-directory.ts";

interface Trees {
  readonly lower: StackDirectory;
  readonly upper: StackDirectory;
}

/**
 * Makes the changes that lead from one tree to another, found by comparing them. Directories above a change are made with it,
 * others are left alone.
 */
export class DifferenceMerger {
  readonly #target: MergeTarget;

  constructor(target: MergeTarget) {
    this.#target = target;
  }

  mergeRoot(trees: Trees): void {
    this.#mergeChildren(trees, () => this.#target.root);
  }

  /** @param place Makes the directory at its first call. */
  #mergeChildren({ lower, upper }: Trees, place: () => Place): void {
    const names = upper.names();
    const kept = new Set(names.map(nameKey));
    for (const name of lower.names()) if (!kept.has(nameKey(name))) this.#target.remove(place(), name);
    for (const name of names) {
      const after = upper.find(name);
      if (after === undefined) continue;
      const before = lower.find(name);
      if (after.stat.isDirectory()) this.#mergeDirectory({ lower, upper }, { name, before, after }, place);
      else if (before === undefined || !isSameFile(before, after)) this.#target.put(place(), after);
    }
  }

  #mergeDirectory(
    trees: Trees,
    change: { readonly name: FilePath; readonly before: Entry | undefined; readonly after: Entry },
    place: () => Place,
  ): void {
    const { name, before, after } = change;
    using lower = trees.lower.child(name);
    using upper = trees.upper.child(name);
    const inside = this.#target.directory(after, place);
    try {
      if (before?.stat.isDirectory() !== true || !hasSameAttributes(before, after)) inside.enter();
      this.#mergeChildren({ lower, upper }, inside.enter);
    } finally {
      inside.leave();
    }
  }
}
