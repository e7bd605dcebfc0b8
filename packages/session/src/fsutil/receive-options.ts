import type { ReceivedDigest } from "./received-digests.ts";

/** How a tree is received. Plain data, so that it can be handed to a worker. */
export interface ReceiveOptions {
  /**
   * An existing directory, nobody else's meanwhile. May be left out where there is a previous tree: it is asked for at the
   * first change then, and not at all if there is none.
   */
  readonly destination?: string;
  /**
   * The tree that is compared with. Its unchanged files get a second name in the destination, which must be empty then,
   * unless it is this very tree, wherever it lies by then. If there are no changes at all, nothing is written: this tree is the result. Without it, the
   * destination itself is compared with and updated.
   */
  readonly previous?: string;
  /** The sync that made the previous tree did not come to its end: what is not compared may be wrong. */
  readonly isUnfinished?: boolean;
  /** {@linkcode ReceiveResult.directoryXattrs} of the sync that made the previous tree; by default there were none. */
  readonly previousXattrs?: string;
  /** `metadata` asks for files whose metadata changed; `none` for all. */
  readonly differ: "metadata" | "none";
  /** Adds to what is there: nothing is compared or deleted. */
  readonly merge: boolean;
  /** Whether to compute digests of what comes. */
  readonly digests?: boolean;
  /** Overrides the owner of all entries. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** Receives only files that match one of these patterns, and of all others a list. */
  readonly onlyMatching?: readonly string[];
}

/** One difference between the tree before and after. */
export interface TreeChange {
  readonly kind: "add" | "modify" | "delete";
  readonly path: string;
}

/** What a sync did. */
export interface ReceiveResult {
  /** Bytes of all packets that came. */
  readonly bytes: number;
  readonly entries: number;
  readonly changes: readonly TreeChange[];
  /** Of all entries that are not in the tree before, if they were asked for and there are not too many. */
  readonly digests: readonly ReceivedDigest[] | undefined;
  /** A digest of the extended attributes that directories were listed with; empty, if there were none. */
  readonly directoryXattrs: string;
  /** Files that were listed without a size and had content: further names of others, made up as they are read, or grown. */
  readonly unlisted: readonly string[];
}
