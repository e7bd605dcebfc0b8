/** An owner as resolved ids; undefined keeps what the source has (or root for new files). */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** What one `pb.FileAction` does, with ids resolved. Paths are absolute inside their trees. */
export type FileAction =
  | {
      readonly kind: "mkfile";
      readonly path: string;
      readonly mode: number;
      readonly data: Uint8Array;
      readonly owner?: Owner;
      readonly timestampNs?: bigint;
    }
  | {
      readonly kind: "mkdir";
      readonly path: string;
      readonly mode: number;
      readonly makeParents: boolean;
      readonly owner?: Owner;
      readonly timestampNs?: bigint;
    }
  | {
      readonly kind: "symlink";
      readonly oldPath: string;
      readonly newPath: string;
      readonly owner?: Owner;
      readonly timestampNs?: bigint;
    }
  | { readonly kind: "rm"; readonly path: string; readonly allowNotFound: boolean; readonly allowWildcard: boolean }
  | CopyAction;

/** `pb.FileActionCopy`. */
export interface CopyAction {
  readonly kind: "copy";
  readonly source: string;
  readonly destination: string;
  readonly owner?: Owner;
  /** Octal mode, or the text of a symbolic one; undefined keeps the source's. */
  readonly mode?: number | string;
  readonly followSymlink: boolean;
  readonly directoryContents: boolean;
  readonly unpackArchives: boolean;
  readonly createDestinationPath: boolean;
  readonly allowWildcard: boolean;
  readonly allowEmptyWildcard: boolean;
  readonly includePatterns: readonly string[];
  readonly excludePatterns: readonly string[];
  readonly requiredPaths: readonly string[];
  readonly alwaysReplaceExisting: boolean;
  readonly timestampNs?: bigint;
}

/** Directories that an action works on. */
export interface FileRoots {
  /** The tree to change: mounted or, with `layer`, the layer's own directory, which nobody has mounted. */
  readonly target: string;
  /** For copies, the tree to read. */
  readonly source?: string;
  readonly layer?: LinkedLayer;
}

/** A new layer that files of `source`, an immutable tree reached by the same mount, may be linked into. */
export interface LinkedLayer {
  /** A view of what lies below it; none for a layer upon nothing. */
  readonly below: string | undefined;
  /** The inodes that the layers below share with other trees. */
  readonly inodesBelow: BigUint64Array;
}

/** Whether an action only adds to a tree, so that it can be done in a layer by itself. */
export function canLink(action: FileAction): boolean {
  return action.kind === "copy" && !action.alwaysReplaceExisting && !action.unpackArchives;
}

/** Changes trees. Every path is resolved beneath its root by file descriptor, in a worker thread. */
export interface FileBackend {
  /** @returns the inodes that were linked into the layer. */
  apply(action: FileAction, roots: FileRoots, options: { readonly signal: AbortSignal }): Promise<BigUint64Array>;
  /** Looks a name up in `/etc/passwd` or `/etc/group` of a tree. @throws {BuildError} `not_found`. */
  resolveOwner(
    owner: { readonly user?: string | number; readonly group?: string | number },
    root: string | undefined,
  ): Promise<Owner>;
}
