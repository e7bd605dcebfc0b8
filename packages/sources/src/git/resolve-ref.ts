import { BuildError } from "@buildkit-ts/errdefs";
import type { GitCommand } from "./git-command.ts";
import { type GitIdentifier, isCommitId, otherChecksum, parseRef, redactUrls } from "./git-identifier.ts";

/** What a name stands for in a repository. */
export interface ResolvedRef {
  /** Full, such as `refs/heads/main`; or the commit itself. */
  readonly ref: string;
  /** What the ref points to: a commit, or an annotated tag. */
  readonly object: string;
  /** The commit that the cache key names. */
  readonly commit: string;
  /** The commit that an annotated tag points to, as the server says; undefined for other objects. */
  readonly peeled: string | undefined;
}

/**
 * Asks the server (or `from`, a copy of what it has) what a ref is now; commits are taken as they are.
 *
 * @throws {BuildError} `not_found`, for a ref that is not there; `failed_precondition`, if the checksum is another.
 */
export async function resolveRef(
  git: GitCommand,
  id: GitIdentifier,
  options: { readonly signal: AbortSignal; readonly from?: string },
): Promise<ResolvedRef> {
  const { checksum } = id;
  const { from = id.remote } = options;
  if (isCommitId(id.ref)) {
    if (!id.ref.startsWith(checksum)) throw otherChecksum(checksum, id.ref);
    return { ref: id.ref, object: id.ref, commit: id.ref, peeled: undefined };
  }
  if (id.fetchByCommit) {
    if (!isCommitId(checksum))
      throw new BuildError(
        "invalid_argument",
        `fetch-by-commit requires a full commit SHA checksum, got "${checksum}"`,
      );
    const ref = id.ref === "" ? checksum : id.ref.startsWith("refs/") ? id.ref : `refs/heads/${id.ref}`;
    return { ref, object: checksum, commit: checksum, peeled: undefined };
  }
  const ref = id.ref === "" ? await defaultBranch(git, from, options) : id.ref;
  const output = await explain(`failed to fetch remote ${redactUrls(id.remote)}`, async () => {
    return await git.run(["ls-remote", "--", from, ref, `${ref}^{}`], options);
  });
  return choose(ref, { id, output });
}

function choose(ref: string, found: { readonly id: GitIdentifier; readonly output: string }): ResolvedRef {
  const { checksum, keepGitDirectory } = found.id;
  const objects = new Map<string, string>();
  for (const line of found.output.split("\n")) {
    const [object = "", name = ""] = line.split("\t");
    if (isCommitId(object)) objects.set(name, object);
  }
  const plain = ref.replace(/^refs\//, "");
  const tag = `refs/tags/${ref.replace(/^refs\/tags\//, "")}`;
  // As `git checkout`: a branch goes before a tag of the same name.
  const branch = [`refs/${plain}`, `refs/heads/${ref.replace(/^refs\/heads\//, "")}`].find((name) => objects.has(name));
  const used = branch ?? tag;
  const object = objects.get(used);
  if (object === undefined)
    throw new BuildError(
      "not_found",
      `repository does not contain ref ${ref}, output: ${JSON.stringify(found.output.slice(0, 1000))}`,
    );
  const isTag = branch === undefined || used === tag;
  const peeled = isTag ? objects.get(`${tag}^{}`) : undefined;
  if (!object.startsWith(checksum) && peeled?.startsWith(checksum) !== true)
    throw otherChecksum(checksum, peeled === undefined ? object : `${object} or ${peeled}`);
  // A kept repository shows the tag itself; without one only the commit counts, by whatever name.
  return { ref: used, object, commit: keepGitDirectory ? object : (peeled ?? object), peeled };
}

async function defaultBranch(
  git: GitCommand,
  remote: string,
  options: { readonly signal: AbortSignal },
): Promise<string> {
  const output = await explain(`error fetching default branch for repository ${redactUrls(remote)}`, async () => {
    return await git.run(["ls-remote", "--symref", "--", remote, "HEAD"], options);
  });
  const branch = /^ref:\s*(\S+)\s+HEAD$/m.exec(output)?.[1];
  if (branch === undefined)
    throw new BuildError("not_found", `could not find default branch for repository: ${redactUrls(remote)}`);
  return parseRef(branch);
}

/** Puts what was attempted before what git said. */
export async function explain<T>(attempt: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    throw new BuildError(error.code, `${attempt}: ${error.message}`, { cause: error });
  }
}
