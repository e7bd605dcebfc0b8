import { posix } from "node:path";
import type { UnpackLimits } from "@buildkit-ts/compression";
import { BuildError } from "@buildkit-ts/errdefs";
import { PathFilter } from "@buildkit-ts/patterns";
import type { AbortCheck } from "@buildkit-ts/sys";
import type { CopyAction } from "../file-actions.ts";
import type { FileLinker } from "./file-linker.ts";
import { makeDirectories, type NewDirectory, setTimestamp } from "./make-directories.ts";
import { type ModeChange, parseModeChange } from "./mode-change.ts";
import { wrapError } from "./path-error.ts";
import { TreeCopier, type TreeCopierOptions } from "./tree-copier.ts";
import { cleanActionPath, type TreeRoot } from "./tree-root.ts";
import { unpackArchive } from "./unpack-archive.ts";
import { expandWildcards } from "./wildcards.ts";

/** The trees of a copy. */
export interface CopyRoots {
  readonly source: TreeRoot;
  readonly target: TreeRoot;
  /** Where files of the source may be linked into the target. */
  readonly linker?: FileLinker;
}

/** Copies what an action names, or unpacks it where it is an archive and that is wanted. */
export async function copyAction(
  roots: CopyRoots,
  action: CopyAction,
  work: { readonly checkAborted: AbortCheck; readonly limits: UnpackLimits },
): Promise<void> {
  const { checkAborted } = work;
  const sourcePath = cleanActionPath(action.source);
  if (!action.createDestinationPath) requireParent(roots.target, action.destination);
  const sources = action.allowWildcard
    ? expandWildcards(roots.source, sourcePath, { followLast: action.followSymlink })
    : [sourcePath];
  if (sources.length === 0 && !action.allowEmptyWildcard) {
    throw new BuildError("not_found", `${sourcePath} not found`);
  }
  const options = copierOptions(action, { linker: roots.linker, checkAborted });
  for (const source of sources) {
    checkAborted();
    roots.linker?.beginSource();
    if (action.unpackArchives && (await unpackArchive(roots, { action, source }, work))) continue;
    copyOne(roots, { action, source }, options);
  }
}

function requireParent(target: TreeRoot, destination: string): void {
  const parent = posix.dirname(target.resolve(destination, { followLast: true }));
  try {
    target.lstat(parent);
  } catch (error) {
    throw wrapError(`failed to stat ${destination}`, error);
  }
}

function copierOptions(
  action: CopyAction,
  work: Pick<TreeCopierOptions, "linker" | "checkAborted">,
): TreeCopierOptions {
  return {
    ...work,
    filter: createFilter(action),
    owner: action.owner,
    changeMode: createModeChange(action.mode),
    timestampNs: action.timestampNs,
    alwaysReplaceExisting: action.alwaysReplaceExisting,
  };
}

function createFilter({ includePatterns, excludePatterns }: CopyAction): PathFilter {
  const create = (name: string, options: ConstructorParameters<typeof PathFilter>[0]): PathFilter => {
    try {
      return new PathFilter(options);
    } catch (error) {
      throw wrapError(`invalid ${name}patterns: [${[...includePatterns, ...excludePatterns].join(" ")}]`, error);
    }
  };
  create("include", { include: includePatterns });
  return create("exclude", { include: includePatterns, exclude: excludePatterns });
}

function createModeChange(mode: number | string | undefined): ModeChange | undefined {
  if (mode === undefined) return undefined;
  return typeof mode === "number" ? () => mode & 0o7777 : parseModeChange(mode);
}

function copyOne(
  roots: CopyRoots,
  { action, source }: { readonly action: CopyAction; readonly source: string },
  options: TreeCopierOptions,
): void {
  const { target } = roots;
  const destination = cleanActionPath(action.destination);
  const made = makeDirectories(
    target,
    target.resolve(directoryPart(destination), { followLast: true }),
    newDirectory(action),
  );
  const resolvedSource = roots.source.resolve(source, { followLast: action.followSymlink });
  const { path, parent } = placeOf(roots, { action, source, resolvedSource });
  made.push(...makeDirectories(target, parent, newDirectory(action)));
  {
    using from = roots.source.openParent(resolvedSource);
    new TreeCopier(target, options).copy(from, path);
  }
  // What was put into them has changed their times.
  for (const directory of made.toReversed()) setTimestamp(target, directory, action.timestampNs);
}

/** What of a destination must be a directory: all of it with a slash at its end, all but the last name otherwise. */
function directoryPart(destination: string): string {
  const slash = destination.lastIndexOf("/");
  const last = destination.slice(slash + 1);
  return last === "" || last === "." ? destination : destination.slice(0, slash + 1);
}

/** Where a source goes to: into a directory that is there under its own name, and otherwise in the place of the path. */
function placeOf(
  roots: CopyRoots,
  {
    action,
    source,
    resolvedSource,
  }: { readonly action: CopyAction; readonly source: string; readonly resolvedSource: string },
): { readonly path: string; readonly parent: string } {
  const isDirectory = roots.source.lstat(resolvedSource).isDirectory();
  const path = roots.target.resolve(action.destination, { followLast: true });
  const existing = roots.target.findLstat(path);
  const goesInside = isDirectory
    ? !action.directoryContents && existing !== undefined
    : existing?.isDirectory() === true;
  if (goesInside) return { path: posix.join(path, posix.basename(source)), parent: path };
  const isWhole = action.directoryContents && isDirectory && existing === undefined;
  return { path, parent: isWhole ? path : posix.dirname(path) };
}

function newDirectory(action: CopyAction): NewDirectory {
  const mode = typeof action.mode === "number" ? action.mode : 0o755;
  return { mode, owner: action.owner, timestampNs: action.timestampNs };
}
