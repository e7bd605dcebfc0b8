import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import type { Constraints } from "./constraints.ts";
import { encodeOp, InputList, invalid } from "./op-encoding.ts";
import { cleanPath, joinPath } from "./path.ts";
import type { EncodeContext, EncodedVertex, LlbVertex, Output } from "./vertex.ts";

/** A user or group by number, or by a name that the target's own files resolve. */
export type OwnerId = number | string;

export interface Owner {
  readonly user?: OwnerId;
  readonly group?: OwnerId;
}

/** Reads `user`, `user:group`, where numbers and `root` are ids. */
export function parseOwner(text: string): Owner {
  const colon = text.indexOf(":");
  const id = (part: string): OwnerId => {
    if (part === "root") return 0;
    return /^[+-]?\d+$/.test(part) && Math.abs(Number(part)) <= 0x7fffffff ? Number(part) : part;
  };
  return colon < 0 ? { user: id(text) } : { user: id(text.slice(0, colon)), group: id(text.slice(colon + 1)) };
}

interface CommonFileOptions {
  readonly owner?: Owner;
  /** Time that the entry gets, in nanoseconds since the epoch; that of the build if undefined. */
  readonly createdAtNs?: bigint;
}

export interface MkdirOptions extends CommonFileOptions {
  readonly makeParents?: boolean;
}
export type MkfileOptions = CommonFileOptions;
export type SymlinkOptions = CommonFileOptions;

export interface RmOptions {
  readonly allowNotFound?: boolean;
  readonly allowWildcard?: boolean;
}

export interface CopyOptions extends CommonFileOptions {
  /** Bits, or chmod's symbolic form; that of the source if undefined. */
  readonly mode?: number | string;
  readonly followSymlinks?: boolean;
  readonly copyDirContentsOnly?: boolean;
  readonly includePatterns?: readonly string[];
  readonly excludePatterns?: readonly string[];
  readonly requiredPaths?: readonly string[];
  readonly attemptUnpack?: boolean;
  readonly createDestPath?: boolean;
  readonly allowWildcard?: boolean;
  readonly allowEmptyWildcard?: boolean;
  readonly alwaysReplaceExistingDestPaths?: boolean;
}

/** What a copy reads from: a state, of which only its output and working directory matter. */
export interface CopySource {
  readonly output: Output | undefined;
  readonly cwd: string;
}

type FileActionBody = MessageInitShape<typeof opspb.FileActionSchema>["action"];

interface Step {
  readonly source: Output | undefined;
  readonly body: (parent: string, base: bigint) => FileActionBody;
}

/** A chain of file operations, each upon the result of the one before. Immutable: every method gives a longer chain. */
export class FileAction {
  readonly #steps: readonly Step[];

  constructor(steps: readonly Step[] = []) {
    this.#steps = steps;
  }

  get steps(): readonly Step[] {
    return this.#steps;
  }

  mkdir(path: string, mode: number, options: MkdirOptions = {}): FileAction {
    return this.#add((parent, base) => ({
      case: "mkdir",
      value: {
        path: normalizePath(parent, path, false),
        mode: mode & 0o777,
        makeParents: options.makeParents ?? false,
        ...common(options, base),
      },
    }));
  }

  mkfile(path: string, data: Uint8Array | string, options: MkfileOptions & { readonly mode: number }): FileAction {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    return this.#add((parent, base) => ({
      case: "mkfile",
      value: {
        path: normalizePath(parent, path, false),
        mode: options.mode & 0o777,
        data: bytes,
        ...common(options, base),
      },
    }));
  }

  /** Makes a link at `newPath` that points to `oldPath`. */
  symlink(oldPath: string, newPath: string, options: SymlinkOptions = {}): FileAction {
    return this.#add((_parent, base) => ({
      case: "symlink",
      value: { oldpath: oldPath, newpath: newPath, ...common(options, base) },
    }));
  }

  rm(path: string, options: RmOptions = {}): FileAction {
    return this.#add((parent) => ({
      case: "rm",
      value: {
        path: normalizePath(parent, path, false),
        allowNotFound: options.allowNotFound ?? false,
        allowWildcard: options.allowWildcard ?? false,
      },
    }));
  }

  /** Copies `paths.src` of `source` to `paths.dest`; relative paths are below the working directories of either state. */
  copy(
    source: CopySource,
    paths: { readonly src: string; readonly dest: string },
    options: CopyOptions = {},
  ): FileAction {
    const clean = cleanPath(paths.src);
    const src = clean.startsWith("/") ? clean : joinPath(source.cwd, clean);
    const body: Step["body"] = (parent, base) => ({
      case: "copy",
      value: {
        src,
        dest: normalizePath(parent, paths.dest, true),
        mode: typeof options.mode === "number" ? options.mode : typeof options.mode === "string" ? 0 : -1,
        modeStr: typeof options.mode === "string" ? options.mode : "",
        ...copyFlags(options),
        ...common(options, base),
      },
    });
    return new FileAction([...this.#steps, { source: source.output, body }]);
  }

  #add(body: Step["body"]): FileAction {
    return new FileAction([...this.#steps, { source: undefined, body }]);
  }
}

function copyFlags(o: CopyOptions): CopyFlags {
  return {
    followSymlink: o.followSymlinks ?? false,
    dirCopyContents: o.copyDirContentsOnly ?? false,
    attemptUnpackDockerCompatibility: o.attemptUnpack ?? false,
    createDestPath: o.createDestPath ?? false,
    allowWildcard: o.allowWildcard ?? false,
    allowEmptyWildcard: o.allowEmptyWildcard ?? false,
    includePatterns: [...(o.includePatterns ?? [])],
    excludePatterns: [...(o.excludePatterns ?? [])],
    requiredPaths: [...(o.requiredPaths ?? [])],
    alwaysReplaceExistingDestPaths: o.alwaysReplaceExistingDestPaths ?? false,
  };
}

function common(
  options: CommonFileOptions,
  base: bigint,
): { timestamp: bigint; owner?: MessageInitShape<typeof opspb.ChownOptSchema> } {
  const { owner, createdAtNs = -1n } = options;
  if (owner === undefined) return { timestamp: createdAtNs };
  const id = (value: OwnerId): MessageInitShape<typeof opspb.UserOptSchema> =>
    typeof value === "string" && value !== ""
      ? { user: { case: "byName", value: { name: value, input: base } } }
      : { user: { case: "byID", value: Number(value) >>> 0 } };
  return {
    timestamp: createdAtNs,
    owner: {
      ...(owner.user !== undefined && { user: id(owner.user) }),
      ...(owner.group !== undefined && { group: id(owner.group) }),
    },
  };
}

interface CopyFlags {
  readonly followSymlink: boolean;
  readonly dirCopyContents: boolean;
  readonly attemptUnpackDockerCompatibility: boolean;
  readonly createDestPath: boolean;
  readonly allowWildcard: boolean;
  readonly allowEmptyWildcard: boolean;
  readonly includePatterns: string[];
  readonly excludePatterns: string[];
  readonly requiredPaths: string[];
  readonly alwaysReplaceExistingDestPaths: boolean;
}

function normalizePath(parent: string, path: string, keepSlash: boolean): string {
  const clean = cleanPath(path);
  const absolute = clean.startsWith("/") ? clean : joinPath("/", parent, clean);
  if (!keepSlash) return absolute;
  // A trailing slash or dot makes the destination a directory, so it survives.
  if (path.endsWith("/")) return absolute.endsWith("/") ? absolute : `${absolute}/`;
  if (path.endsWith("/.")) return absolute === "/" ? "/." : `${absolute}/.`;
  return absolute;
}

/** A vertex that changes files without running anything. */
export class FileVertex implements LlbVertex {
  readonly inputs: readonly Output[];
  readonly #base: CopySource;
  readonly #action: FileAction;
  readonly #constraints: Constraints;

  constructor(base: CopySource, action: FileAction, constraints: Constraints) {
    if (action.steps.length === 0) throw invalid("action is required");
    this.#base = base;
    this.#action = action;
    this.#constraints = constraints;
    const sources = action.steps.map((step) => step.source).toReversed();
    this.inputs = [...new Set([base.output, ...sources].filter((output) => output !== undefined))];
  }

  encode(context: EncodeContext): EncodedVertex {
    const list = new InputList(context);
    const { steps } = this.#action;
    const base = list.indexOf(this.#base.output);
    const secondary = steps.map((step) => list.indexOf(step.source));
    const count = list.inputs.length;
    const actions = steps.map((step, i) =>
      create(opspb.FileActionSchema, {
        // The result of action n is known as input number `inputs + n`.
        input: i === 0 ? base : BigInt(count + i - 1),
        secondaryInput: secondary[i] ?? -1n,
        output: i + 1 === steps.length ? 0n : -1n,
        action: step.body(this.#base.cwd, base) ?? { case: undefined },
      }),
    );
    return encodeOp(context, {
      op: { case: "file", value: { actions } },
      inputs: list.inputs,
      constraints: this.#constraints,
      caps: ["file.base"],
      platformSpecific: false,
    });
  }
}

/** A chain that begins with {@linkcode FileAction.mkdir}. */
export function mkdir(path: string, mode: number, options: MkdirOptions = {}): FileAction {
  return new FileAction().mkdir(path, mode, options);
}
/** A chain that begins with {@linkcode FileAction.mkfile}. */
export function mkfile(
  path: string,
  data: Uint8Array | string,
  options: MkfileOptions & { readonly mode: number },
): FileAction {
  return new FileAction().mkfile(path, data, options);
}
/** A chain that begins with {@linkcode FileAction.symlink}. */
export function symlink(oldPath: string, newPath: string, options: SymlinkOptions = {}): FileAction {
  return new FileAction().symlink(oldPath, newPath, options);
}
/** A chain that begins with {@linkcode FileAction.rm}. */
export function rm(path: string, options: RmOptions = {}): FileAction {
  return new FileAction().rm(path, options);
}
/** A chain that begins with {@linkcode FileAction.copy}. */
export function copy(
  source: CopySource,
  paths: { readonly src: string; readonly dest: string },
  options: CopyOptions = {},
): FileAction {
  return new FileAction().copy(source, paths, options);
}
