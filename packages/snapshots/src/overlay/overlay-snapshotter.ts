import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { escapeOverlayPath, type Mount } from "@buildkit-ts/mount";
import { AT_FDCWD, applyAttributesAt, attributesOf, lstatAt } from "@buildkit-ts/sys";
import { DirectorySnapshotter, type DirectorySnapshotterOptions } from "../directory-snapshotter.ts";
import type { SnapshotMergeStep } from "../snapshot-merge-steps.ts";
import type { SnapshotRow } from "../snapshot-table.ts";
import type { MergeStep } from "../tree/merge-trees.ts";
import type { MergeRequest } from "../tree/tree-request.ts";

export interface OverlaySnapshotterOptions extends DirectorySnapshotterOptions {
  /** Keep overlay's marks in `user.` attributes: for daemons in a user namespace. */
  readonly userXattr?: boolean;
}

/** How layers are shown. */
export interface OverlayDriver {
  readonly name: string;
  readonly mountType: string;
  readonly mountOptions: readonly string[];
}

/** Snapshots as layers of the kernel's overlay file system: each holds its own changes only. */
export class OverlaySnapshotter extends DirectorySnapshotter {
  readonly name: string;
  readonly #userXattr: boolean;
  readonly #driver: OverlayDriver;

  constructor(options: OverlaySnapshotterOptions, driver: OverlayDriver = kernelOverlay(options.userXattr === true)) {
    super(driver.name, options);
    this.name = driver.name;
    this.#userXattr = options.userXattr === true;
    this.#driver = driver;
  }

  async upperDir(key: string): Promise<string | undefined> {
    const row = this.table.get(key);
    return row.kind === "view" ? undefined : this.filesOf(row.id);
  }

  protected mountsOf(row: SnapshotRow): Mount[] {
    const [own, ...ancestors] = this.table.chain(row.name);
    if (own === undefined) return [];
    const isWritable = row.kind === "active";
    const hasUpper = row.kind !== "view" || ancestors.length === 0;
    const layers = hasUpper ? [own, ...ancestors] : ancestors;
    const [top, ...lower] = layers.map((id) => this.filesOf(id));
    if (top === undefined) return [];
    if (lower.length === 0) return [{ type: "bind", source: top, options: [isWritable ? "rw" : "ro", "rbind"] }];
    const join_ = (paths: readonly string[]): string => paths.map(escapeOverlayPath).join(":");
    const options = isWritable
      ? [
          `workdir=${escapeOverlayPath(this.#workOf(own))}`,
          `upperdir=${escapeOverlayPath(top)}`,
          `lowerdir=${join_(lower)}`,
        ]
      : ["ro", `lowerdir=${join_([top, ...lower])}`];
    const { mountType: type, mountOptions } = this.#driver;
    return [{ type, source: type, options: [...mountOptions, ...options] }];
  }

  protected makeDirectory(id: number, parent: string | undefined): void {
    this.makeFresh(id);
    mkdirSync(this.filesOf(id), { mode: 0o755 });
    mkdirSync(this.#workOf(id), { mode: 0o711 });
    const [below] = parent === undefined ? [] : this.table.chain(parent);
    if (below === undefined) return;
    // The root of an overlay is that of its highest layer: it would lose owner and mode of the parent's otherwise.
    const attributes = attributesOf(lstatAt({ fd: AT_FDCWD, path: this.filesOf(below) }));
    applyAttributesAt({ fd: AT_FDCWD, path: this.filesOf(id) }, { attributes, isSymbolicLink: false });
  }

  protected async fill(): Promise<void> {
    // A layer begins empty.
  }

  protected mergeRequest(
    id: number,
    merge: { readonly base: readonly number[]; readonly steps: readonly SnapshotMergeStep[] },
  ): MergeRequest {
    const paths = (ids: readonly number[]): string[] => ids.map((layer) => this.filesOf(layer));
    const steps = merge.steps.map(({ kind, upper, lower }): MergeStep => {
      return { kind, upper: paths(kind === "layer" ? upper.slice(0, 1) : upper), lower: paths(lower) };
    });
    const form = { kind: "layers", opaqueXattr: `${this.#userXattr ? "user" : "trusted"}.overlay.opaque` } as const;
    return { verb: "merge", steps, target: this.filesOf(id), base: paths(merge.base), form };
  }

  #workOf(id: number): string {
    return join(this.directoryOf(id), "work");
  }
}

/** What would make an upper directory depend on more than the layers below it is switched off where the kernel knows it. */
function kernelOverlay(userXattr: boolean): OverlayDriver {
  const options = ["index", "redirect_dir", "metacopy"]
    .filter((name) => existsSync(`/sys/module/overlay/parameters/${name}`))
    .map((name) => `${name}=off`);
  const mountOptions = userXattr ? [...options, "userxattr"] : options;
  return { name: "overlayfs", mountType: "overlay", mountOptions };
}
