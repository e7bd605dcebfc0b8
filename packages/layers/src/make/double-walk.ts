import { type FilePath, type FileStat, lstatAt, readNames } from "@buildkit-ts/sys";
import { compareBytes } from "@buildkit-ts/tar";
import { isSameFile, openChildDirectory } from "./same-file.ts";
import { joinPath, nameText, type TreeChange } from "./tree-change.ts";

/** Two open directories at the same path of two trees; `lower` is undefined where that tree has none. */
export interface DirectoryPair {
  readonly path: string;
  readonly lower: number | undefined;
  readonly upper: number;
  /** The upper one lies in overlay's form, so that whiteouts in it are names that are not there. */
  readonly hasWhiteouts: boolean;
}

interface NamedPair {
  readonly name: FilePath;
  readonly inLower: boolean;
  readonly inUpper: boolean;
}

/** All changes from one directory to another, found by reading both. */
export function* walkChanges(pair: DirectoryPair): Generator<TreeChange, void> {
  for (const { name, inLower, inUpper } of mergeNames(pair)) {
    const path = joinPath(pair.path, nameText(name));
    const lowerAt = { fd: pair.lower ?? -1, path: name };
    const upperAt = { fd: pair.upper, path: name };
    const stat = inUpper ? lstatAt(upperAt) : undefined;
    if (stat === undefined || (pair.hasWhiteouts && stat.isWhiteout())) {
      if (inLower) yield { kind: "deleted", path };
      continue;
    }
    const lowerStat = inLower ? lstatAt(lowerAt) : undefined;
    const kind = kindOf(lowerStat !== undefined, () =>
      lowerStat === undefined ? false : isSameFile({ at: lowerAt, stat: lowerStat }, { at: upperAt, stat }),
    );
    if (kind !== "unmodified" || isLinked(stat)) yield { kind, path, at: upperAt, stat };
    if (!stat.isDirectory()) continue;
    using upper = openChildDirectory(upperAt);
    using lower = lowerStat?.isDirectory() === true ? openChildDirectory(lowerAt) : undefined;
    yield* walkChanges({ ...pair, path, upper: upper.fd, lower: lower?.fd });
  }
}

function kindOf(existed: boolean, isSame: () => boolean): "added" | "modified" | "unmodified" {
  if (!existed) return "added";
  return isSame() ? "unmodified" : "modified";
}

/** Whether the file has further names. */
export function isLinked(stat: FileStat): boolean {
  return !stat.isDirectory() && stat.linkCount > 1;
}

function* mergeNames(pair: DirectoryPair): Generator<NamedPair, void> {
  const lower = pair.lower === undefined ? [] : readNames(pair.lower);
  const upper = readNames(pair.upper);
  for (let i = 0, j = 0; i < lower.length || j < upper.length; ) {
    const [a, b] = [lower[i], upper[j]];
    const order = a === undefined ? 1 : b === undefined ? -1 : compareBytes(nameText(a), nameText(b));
    const name = order <= 0 ? a : b;
    if (name !== undefined) yield { name, inLower: order <= 0, inUpper: order >= 0 };
    if (order <= 0) i += 1;
    if (order >= 0) j += 1;
  }
}
