import { mkdirSync } from "node:fs";
import type { Mount } from "@buildkit-ts/mount";
import { DirectorySnapshotter, type DirectorySnapshotterOptions } from "../directory-snapshotter.ts";
import type { SnapshotRow } from "../snapshot-table.ts";

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

  protected async mergeInto(
    id: number,
    chains: readonly (readonly number[])[],
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    for (const chain of chains) {
      let lower: string | undefined;
      for (const layer of chain) {
        const upper = this.filesOf(layer);
        await this.runTree({ verb: "applyDifference", lower, upper, target: this.filesOf(id) }, options);
        lower = upper;
      }
    }
  }
}
