import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import type { BlobOrigin } from "../blob/blob-origin.ts";
import { saveFile } from "../save-file.ts";
import type { SourceContext } from "../source.ts";
import type { CheckoutRequest } from "./git-checkout.ts";
import type { GitCommand } from "./git-command.ts";
import { type GitIdentifier, isCommitId } from "./git-identifier.ts";
import { explain } from "./resolve-ref.ts";

/** The name of the file that holds a bundle. */
const bundleName = "bundle";
/** For commits that no ref names: a bundle cannot be without one. */
const fallbackRef = "refs/heads/main";

/**
 * Unpacks the bundle that a source names into a repository of its own.
 *
 * @returns Its URL, to fetch from as from the remote.
 * @throws {BuildError} `data_loss`, for other bytes; `not_found`, if the commit is not in it.
 */
export async function stageBundle(
  git: GitCommand,
  bundle: { readonly id: GitIdentifier; readonly blobs: BlobOrigin; readonly directory: string },
  context: SourceContext,
): Promise<string> {
  const { id, directory } = bundle;
  const { signal } = context;
  const address = id.bundle;
  if (address === undefined) throw new BuildError("internal", "Cannot unpack bundle: the source names none");
  const bytes = await bundle.blobs.open(address, context);
  const digest = await saveFile({ directory, name: bundleName, bytes }, { mode: 0, uid: 0, gid: 0 });
  if (digest !== address.digest)
    throw new BuildError("data_loss", `expected checksum to match ${address.digest}, got ${digest}`);
  const path = join(directory, bundleName);
  const repository = await initBare(git, join(directory, "repository.git"), { signal, objectId: id.checksum });
  await explain("failed to import git bundle", async () => {
    await repository.git.run(["fetch", "--", path, "+refs/*:refs/*"], { signal });
  });
  if (!(await repository.git.succeeds(["cat-file", "-e", `${id.checksum}^{commit}`], { signal })))
    throw new BuildError("not_found", `commit ${id.checksum} not found in bundle ${address.digest}`);
  return `file://${repository.path}`;
}

/** Writes the commit and its history as one file instead of a work tree; without submodules. */
export async function writeBundle(
  git: GitCommand,
  request: CheckoutRequest & { readonly directory: string },
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const { id, resolved, mirror, target, directory } = request;
  const { signal } = options;
  const name = targetRef(id.ref);
  const path = join(directory, "bundled.git");
  const repository = await initBare(git, path, { signal, objectId: resolved.object });
  await explain("failed to fetch commit for bundle creation", async () => {
    await repository.git.run(["fetch", "--", `file://${mirror}`, resolved.object], { signal });
  });
  await repository.git.run(["update-ref", name, resolved.object], { signal });
  await repository.git.run(["bundle", "create", join(target, bundleName), name], { signal });
}

async function initBare(
  git: GitCommand,
  path: string,
  options: { readonly signal: AbortSignal; readonly objectId: string },
): Promise<{ readonly git: GitCommand; readonly path: string }> {
  await mkdir(path);
  const inRepository = git.at({ gitDirectory: path });
  const format = options.objectId.length === 64 ? ["--object-format=sha256"] : [];
  await inRepository.run(["-c", "init.defaultBranch=master", "init", "--bare", ...format], options);
  return { git: inRepository, path };
}

/** What the bundle calls the commit: a tag's full name is kept, everything else becomes a branch. */
function targetRef(ref: string): string {
  if (ref === "" || isCommitId(ref)) return fallbackRef;
  if (ref.startsWith("refs/tags/")) return ref;
  return `refs/heads/${ref.replace(/^refs\//, "").replace(/^heads\//, "")}`;
}
