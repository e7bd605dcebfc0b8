import type { Mount } from "@buildkit-ts/mount";

/** How much of the disk a snapshot uses for itself, without its parents. */
export interface SnapshotUsage {
  readonly sizeBytes: number;
  readonly inodes: number;
}

/** Files of other snapshots that one has in common with them. */
export interface SnapshotLinks {
  /** The names of the others. */
  readonly sources: readonly string[];
  readonly inodes: BigUint64Array;
}

export type SnapshotKind = "active" | "view" | "committed";

export interface SnapshotInfo {
  readonly name: string;
  readonly kind: SnapshotKind;
  readonly parent: string | undefined;
}

/** What leads from one committed snapshot to another, deletions included; undefined is the empty tree. */
export interface SnapshotDifference {
  readonly lower: string | undefined;
  readonly upper: string | undefined;
}

/**
 * Layered directories.
 *
 *     prepare(key, parent) ──▶ active ──commit(name, key)──▶ committed ──remove()──▶ gone
 *                                ▲ └──────────reopen(key, name)──────────┘
 *     view(key, parent)    ──▶ view   ──────────remove()───────────────▶ gone
 *
 * Committed snapshots are immutable and may be parents; one with children cannot be removed (`failed_precondition`).
 * A name that exists already is `already_exists`; one that does not is `not_found`. Mounts are values: the caller
 * mounts them, and must have unmounted them before commit, reopen and remove.
 */
export interface Snapshotter {
  /** Such as `overlayfs`. */
  readonly name: string;
  prepare(key: string, parent: string | undefined): Promise<Mount[]>;
  view(key: string, parent: string | undefined): Promise<Mount[]>;
  mounts(key: string): Promise<Mount[]>;
  commit(name: string, key: string): Promise<void>;
  /**
   * Makes a committed snapshot an active one under another name, for somebody who has made sure that nobody else knows it: what
   * was the snapshot `name` is no more. Its files may have links elsewhere, so none of them must be written to in place.
   *
   * @throws {BuildError} `failed_precondition`, if it is not committed, or has children or views.
   */
  reopen(key: string, name: string): Promise<void>;
  /** Nobody finds it any more, even where its files cannot be removed yet: those are tried again until they are gone. */
  remove(key: string): Promise<void>;
  /** Bytes of files that could not be removed with their snapshots, and still cannot. */
  leftoverBytes(options: { readonly signal: AbortSignal }): Promise<number>;
  find(key: string): Promise<SnapshotInfo | undefined>;
  /** The lowest snapshot, of this one and all below it, whose files are not there: somebody may have deleted them. */
  findMissing(key: string): Promise<string | undefined>;
  /**
   * Measured in allocated blocks on the file system; each inode counts once. What several snapshots have in common, by hard
   * links, is charged to them in equal parts, so that the sum over all is what the disk has.
   */
  usage(key: string, options: { readonly signal: AbortSignal }): Promise<SnapshotUsage>;
  /** Calls back when the usage of snapshots is another one because of what happened to others. */
  onUsageChange(listener: (names: readonly string[]) => void): void;
  /** To be told by whoever puts hard links to files of other snapshots into this one. */
  noteLinks(key: string, links: SnapshotLinks): Promise<void>;
  /** What was told by `noteLinks` of a snapshot and of all that it is built on. */
  linkedInodes(key: string): Promise<BigUint64Array>;
  walk(): AsyncIterable<SnapshotInfo>;
  /**
   * A committed snapshot `name` that shows trees merged one over the other, lowest first: whole snapshots, or differences that
   * are applied to what is below them. Overlay links files instead of copying them; others copy.
   */
  merge(
    name: string,
    inputs: readonly (string | SnapshotDifference)[],
    options: { readonly signal: AbortSignal },
  ): Promise<void>;
  /** The directory that holds only this snapshot's own changes, in overlay's whiteout form; undefined where there is none. */
  upperDir(key: string): Promise<string | undefined>;
}
