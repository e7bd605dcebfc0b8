import { lstat, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import { addWriteModes, setTimes } from "./checkout-attributes.ts";
import type { GitCommand } from "./git-command.ts";
import { type GitIdentifier, isCommitId, redactUrls } from "./git-identifier.ts";
import { explain, type ResolvedRef } from "./resolve-ref.ts";

/** A commit that is in a mirror, and what is wanted of it. */
export interface CheckoutRequest {
  readonly id: GitIdentifier;
  readonly resolved: ResolvedRef;
  /** The bare repository that has it. */
  readonly mirror: string;
  /** An empty directory. */
  readonly target: string;
  /** Whether files that nobody executes can be written to by all, as builds of compatibility version 10 had them. */
  readonly hasOldModes: boolean;
}

/** Writes the files of a commit. */
export async function checkOut(
  git: GitCommand,
  request: CheckoutRequest,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const { id, resolved, mirror, target } = request;
  const keeps = id.keepGitDirectory && id.subdirectory === "";
  const workTree = id.subdirectory === "" ? target : await mkdtemp(join(target, "checkout"));
  const place = { gitDirectory: keeps ? join(target, ".git") : mirror, workTree };
  const inPlace = git.at(place);
  const failure = `failed to checkout remote ${redactUrls(id.remote)}`;
  await explain(failure, async () => {
    if (keeps) await cloneFromMirror(git, inPlace, { request, options });
    else await inPlace.run(["checkout", "--no-overlay", resolved.object, "--", "."], options);
  });
  if (!id.skipSubmodules) {
    await explain(`failed to update submodules for ${redactUrls(id.remote)}`, async () => {
      await inPlace.run(["submodule", "update", "--init", "--recursive", "--depth=1"], options);
    });
  }
  if (id.subdirectory !== "") await moveUp(workTree, { subdirectory: id.subdirectory, target });
  if (request.hasOldModes) await addWriteModes(target);
  if (id.mtime === "commit") {
    const seconds = await git
      .at({ gitDirectory: mirror })
      .run(["log", "-1", "--format=%ct", `${resolved.object}^{commit}`], options);
    await setTimes(target, BigInt(seconds.trim()) * 1_000_000_000n);
  }
}

/** A repository of its own beside the files, which knows the remote but no credentials for it. */
async function cloneFromMirror(
  mirrorGit: GitCommand,
  git: GitCommand,
  work: { readonly request: CheckoutRequest; readonly options: { readonly signal: AbortSignal } },
): Promise<void> {
  const { id, resolved, mirror, target } = work.request;
  const run = async (...args: readonly string[]): Promise<string> => await git.run(args, work.options);
  const format = resolved.object.length === 64 ? ["--object-format=sha256"] : [];
  await run("-c", "init.defaultBranch=master", "init", ...format);
  // By the file protocol: the short cuts for local clones can be abused to copy files of the host.
  await run("remote", "add", "origin", `file://${mirror}`);
  const inMirror = mirrorGit.at({ gitDirectory: mirror });
  const type = (await inMirror.run(["cat-file", "-t", resolved.object], work.options)).trim();
  const temporary = `refs/buildkit/${resolved.object}`;
  await inMirror.run(["update-ref", temporary, resolved.object], work.options);
  const name = isCommitId(resolved.ref) ? undefined : resolved.ref;
  const own = name === undefined ? "" : type === "tag" && !name.startsWith("refs/") ? `:refs/tags/${name}` : `:${name}`;
  // A mirror that has tags sends those of the commit as well: a tag that is asked for by its name would come twice.
  const tags = own.startsWith(":refs/tags/") ? ["--no-tags"] : [];
  await run("fetch", "-u", "--depth=1", ...tags, "--", "origin", `${temporary}${own}`);
  await run("checkout", "FETCH_HEAD");
  await run("remote", "set-url", "origin", redactUrls(id.remote));
  await run("reflog", "expire", "--all", "--expire=now");
  await rm(join(target, ".git", "FETCH_HEAD"), { force: true });
}

/** Makes a directory of the checkout the root. @throws {BuildError} `invalid_argument`, where a link is in the way. */
async function moveUp(
  workTree: string,
  place: { readonly subdirectory: string; readonly target: string },
): Promise<void> {
  const { subdirectory, target } = place;
  let path = workTree;
  for (const part of subdirectory.split("/")) {
    path = join(path, part);
    const stat = await lstat(path).catch((error: unknown) => {
      throw new BuildError("not_found", `invalid subdir ${subdirectory}: no such file or directory`, { cause: error });
    });
    if (!stat.isDirectory())
      throw new BuildError("invalid_argument", `git subpath "${subdirectory}" contains non-directory "${part}"`);
  }
  for (const name of await readdir(path, { encoding: "buffer" }))
    await rename(Buffer.concat([Buffer.from(`${path}/`), name]), Buffer.concat([Buffer.from(`${target}/`), name]));
  await rm(workTree, { recursive: true });
}
