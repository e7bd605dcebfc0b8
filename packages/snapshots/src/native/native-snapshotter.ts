import { mkdirSync } from "node:fs";
import type { Mount } from "@buildkit-ts/mount";
import { DirectorySnapshotter, type DirectorySnapshotterOptions } from "../directory-snapshotter.ts";
import type { SnapshotMergeStep } from "../snapshot-merge-steps.ts";
import type { SnapshotRow } from "../snapshot-table.ts";
import type { MergeStep } from "../tree/merge-trees.ts";
import type { MergeRequest } from "../tree/tree-request.ts";

/** Snapshots as complete copies: works on every file system and without privileges for mounting overlays, but is slow. */
export class NativeSnapshotter extends DirectorySnapshotter {
  readonly name = "native";

  constructor(options: DirectorySnapshotterOptions) {
    super("native", options);
  }

  async upperDir(key: string): Promise<string | undefined> {
    this.table.get(key);
    return undefined;
  }

  protected mountsOf(row: SnapshotRow): Mount[] {
    const [own, parent] = this.table.chain(row.name);
    const id = row.kind === "view" ? (parent ?? own) : own;
    if (id === undefined) return [];
    return [{ type: "bind", source: this.filesOf(id), options: ["rbind", row.kind === "active" ? "rw" : "ro"] }];
  }

  protected makeDirectory(id: number): void {
    this.makeFresh(id);
    mkdirSync(this.filesOf(id), { mode: 0o755 });
  }

  protected async fill(
    id: number,
    parent: string | undefined,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    const [below] = parent === undefined ? [] : this.table.chain(parent);
    if (below !== undefined)
      await this.runTree({ verb: "copy", from: this.filesOf(below), to: this.filesOf(id) }, options);
  }

  protected mergeRequest(
    id: number,
    merge: { readonly base: readonly number[]; readonly steps: readonly SnapshotMergeStep[] },
  ): MergeRequest {
    // Each snapshot is a whole tree: what a layer changed shows only when it is compared with the one below.
    const top = (stack: readonly number[]): string[] => stack.slice(0, 1).map((layer) => this.filesOf(layer));
    const steps = merge.steps.map(
      ({ upper, lower }): MergeStep => ({ kind: "difference", upper: top(upper), lower: top(lower) }),
    );
    return { verb: "merge", steps, target: this.filesOf(id), base: [], form: { kind: "plain" } };
  }
}
