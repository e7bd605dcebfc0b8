import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { CacheManager, MutableRef } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { KeyedLocks } from "../keyed-locks.ts";
import { getPlainDirectory } from "../plain-directory.ts";
import type { GitCommand } from "./git-command.ts";
import { type GitIdentifier, isCommitId, otherChecksum, redactUrls } from "./git-identifier.ts";
import { explain, type ResolvedRef } from "./resolve-ref.ts";

const remoteKey = "git.remote";

/** What is wanted of a mirror, and where it can be had. */
export interface MirrorRequest {
  readonly id: GitIdentifier;
  readonly resolved: ResolvedRef;
  /** Where to fetch from, when the mirror lacks the commit; asked only then. Default: the remote. */
  readonly from?: () => Promise<string>;
}

/** A bare repository that has the commit; nobody else uses it until disposal. */
export interface OpenMirror extends AsyncDisposable {
  readonly directory: string;
}

/** One bare repository for each remote, shared by all builds; concurrent builds of one remote fetch once. */
export class GitMirrors {
  readonly #cache: CacheManager;
  readonly #locks = new KeyedLocks();

  constructor(cache: CacheManager) {
    this.#cache = cache;
  }

  /** @throws {BuildError} `failed_precondition`, for a commit that the remote does not have, or another one. */
  async open(git: GitCommand, request: MirrorRequest, options: { readonly signal: AbortSignal }): Promise<OpenMirror> {
    await using stack = new AsyncDisposableStack();
    stack.use(await this.#locks.acquire(request.id.remote, options));
    const mirror = stack.use(await this.#openRef(git, request, options));
    const directory = getPlainDirectory(stack.use(await mirror.mount(options)));
    await fetchObject(git.at({ gitDirectory: directory }), { ...request, directory }, options);
    const held = stack.move();
    return { directory, [Symbol.asyncDispose]: async () => await held.disposeAsync() };
  }

  async #openRef(
    git: GitCommand,
    { id, resolved }: MirrorRequest,
    options: { readonly signal: AbortSignal },
  ): Promise<MutableRef> {
    const { remote } = id;
    // The two kinds of object ids cannot be in one repository.
    const name = resolved.object.length === 64 ? `${remote}#sha256` : remote;
    for (const found of this.#cache.search(remoteKey, name)) {
      try {
        return await this.#cache.getMutable(found, options);
      } catch (error) {
        if (!(error instanceof BuildError) || error.code === "canceled") throw error;
      }
    }
    await using stack = new AsyncDisposableStack();
    const description = `shared git repo for ${redactUrls(remote)}`;
    const created = stack.use(await this.#cache.create(undefined, { ...options, description, retain: true }));
    {
      await using held = await created.mount(options);
      const inMirror = git.at({ gitDirectory: getPlainDirectory(held) });
      const format = resolved.object.length === 64 ? ["--object-format=sha256"] : [];
      await inMirror.run(["-c", "init.defaultBranch=master", "init", "--bare", ...format], options);
      // Without credentials: those come with each command.
      await inMirror.run(["remote", "add", "origin", remote], options);
    }
    created.metadata.set(remoteKey, name, { index: true });
    stack.move();
    return created;
  }
}

/** Makes the mirror have the resolved object. */
async function fetchObject(
  git: GitCommand,
  wanted: MirrorRequest & { readonly directory: string },
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const { id, directory } = wanted;
  const { ref, object } = wanted.resolved;
  const has = async (): Promise<boolean> => await git.succeeds(["cat-file", "-e", `${object}^{commit}`], options);
  const failure = `failed to fetch remote ${redactUrls(id.remote)}`;
  await rm(join(directory, "shallow.lock"), { force: true });
  if (!(await has())) {
    const from = (await wanted.from?.()) ?? "origin";
    const everything = (): string[] => [
      "fetch",
      "--tags",
      ...(existsSync(join(directory, "shallow")) ? ["--unshallow"] : []),
      from,
    ];
    const shallow = ["fetch", "--depth=1", "--no-tags", from];
    // A ref keeps what was fetched from being collected, and tells the server what is here.
    const target = `refs/buildkit-mirror/${ref.replace(/^refs\//, "")}`;
    const args = id.fetchByCommit
      ? [...shallow, object]
      : isCommitId(ref)
        ? [...everything(), ref]
        : [...shallow.slice(0, -1), "--force", "--", from, `${ref}:${target}`];
    await explain(failure, async () => await git.run(args, options));
    if (!(await has())) {
      // The ref moved since it was resolved: the commit may still be somewhere in the history.
      await explain(failure, async () => await git.run([...everything(), object], options));
    }
    if (!(await has()))
      throw new BuildError(
        "failed_precondition",
        `fetched ref ${ref} does not match expected commit ${object} and commit can not be found in the repository`,
      );
  }
  await verifyObject(git, wanted, options);
}

/** The server may have said anything about an object: the repository knows. */
async function verifyObject(
  git: GitCommand,
  { id, resolved }: MirrorRequest,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const { object, peeled } = resolved;
  const commit = (await git.run(["rev-parse", `${object}^{commit}`], options)).trim();
  if (peeled !== undefined && peeled !== commit)
    throw new BuildError(
      "data_loss",
      `Cannot use tag "${resolved.ref}": it names ${commit}, and the server said ${peeled}`,
    );
  if (!object.startsWith(id.checksum) && !commit.startsWith(id.checksum))
    throw otherChecksum(id.checksum, `${object} or ${commit}`);
}
