import type { CacheManager } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, digestOf } from "@buildkit-ts/oci";
import type { OpContext, Result } from "@buildkit-ts/solver";
import { refOptions } from "./ref-options.ts";
import { refOfResult } from "./worker-result.ts";

/** What content keys are computed and listed with. */
export type ContentCache = Pick<CacheManager, "contentChecksum" | "listContent" | "withSameBytes">;

/** What of an input a step looks at: a path with filters. */
export interface ContentSelector {
  readonly path: string;
  readonly wildcard?: boolean;
  readonly followLinks?: boolean;
  readonly includePatterns?: readonly string[];
  readonly excludePatterns?: readonly string[];
  readonly requiredPaths?: readonly string[];
}

/** Drops paths that lie below others; sorted. */
export function dedupePaths(paths: readonly string[]): string[] {
  if (paths.length <= 1) return [...paths];
  const unique = [...new Set(paths)];
  const below = (path: string): boolean =>
    unique.some((other) => other !== path && path.startsWith(other.endsWith("/") ? other : `${other}/`));
  return unique.filter((path) => !below(path)).toSorted(compareText);
}

/** By bytes, as Go compares. */
export function compareText(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** A key for what the selectors find in an input: equal for equal content, wherever it came from. */
export function createContentDigest(
  cache: Pick<CacheManager, "contentChecksum">,
  selectors: readonly ContentSelector[],
): (result: Result, context: OpContext) => Promise<Digest> {
  const wanted = selectors.length === 0 ? [{ path: "/" }] : selectors;
  return async (result, context) => {
    const digests = await Promise.all(
      wanted.map(async (selector) => await checksum(cache, { result, selector, context })),
    );
    return digestOf(digests.join("\0"));
  };
}

async function checksum(
  cache: Pick<CacheManager, "contentChecksum">,
  request: { readonly result: Result; readonly selector: ContentSelector; readonly context: OpContext },
): Promise<Digest> {
  const { path: given, ...filters } = request.selector;
  const path = rootedPath(given);
  const ref = refOfResult(request.result);
  if (ref === undefined) {
    if (path === "/") return digestOf("");
    throw new BuildError("unknown", `${path}: no such file or directory`);
  }
  const { signal } = request.context;
  try {
    return await cache.contentChecksum(ref, path, { ...filters, ...refOptions(request.context) });
  } catch (error) {
    signal.throwIfAborted();
    const { code, message } = BuildError.from(error);
    throw new BuildError(code, `failed to calculate checksum of ref ${request.result.id}: ${message}`, {
      cause: error,
    });
  }
}

/** Go's `path.Join("/", p)`: absolute, without `.`, `..`, doubled or trailing slashes. */
export function rootedPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** Makes an input's bytes present before they are read; shared by exec and file ops. */
export async function unlazy(result: Result, context: OpContext): Promise<void> {
  await refOfResult(result)?.extract(refOptions(context));
}
