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

/** Changes mounted trees. Every path is resolved beneath its root by file descriptor, in a worker thread. */
export interface FileBackend {
  /** @param roots Mounted directories: the tree to change, and for copies the tree to read. */
  apply(
    action: FileAction,
    roots: { readonly target: string; readonly source?: string },
    options: { readonly signal: AbortSignal },
  ): Promise<void>;
  /** Looks a name up in `/etc/passwd` or `/etc/group` of a tree. @throws {BuildError} `not_found`. */
  resolveOwner(
    owner: { readonly user?: string | number; readonly group?: string | number },
    root: string | undefined,
  ): Promise<Owner>;
}
