import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CacheManager, ImmutableRef, MutableRef } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { getSecret, type SessionManager } from "@buildkit-ts/session";
import { withAnySession } from "../any-session.ts";
import { KeyedLocks } from "../keyed-locks.ts";
import { getPlainDirectory } from "../plain-directory.ts";
import type { Source, SourceCacheKey, SourceContext, SourceInstance, SourceRequest } from "../source.ts";
import { checkOut } from "./git-checkout.ts";
import { GitCommand, type GitCommandOptions } from "./git-command.ts";
import { type GitIdentifier, gitCacheKey, isCommitId, parseGitIdentifier, redactUrls } from "./git-identifier.ts";
import { explain, otherChecksum, type ResolvedRef, resolveRef } from "./resolve-ref.ts";

const keys = { remote: "git.remote", snapshot: "git.snapshot" } as const;

/** What {@linkcode GitSource} works with. */
export interface GitSourceOptions {
  readonly cache: CacheManager;
  readonly sessions: SessionManager;
}

/** Repositories (`git://host/path#ref:directory`), fetched into one mirror for each remote by the `git` program. */
export class GitSource implements Source {
  readonly schemes: readonly string[] = ["git"];
  readonly #services: GitServices;

  constructor(options: GitSourceOptions) {
    this.#services = { ...options, locks: new KeyedLocks() };
  }

  resolve(request: SourceRequest): SourceInstance {
    const id = parseGitIdentifier(request);
    if ((request.attributes["git.mountsshsock"] ?? "") !== "" && !/^https?:/i.test(id.remote))
      throw new BuildError("unimplemented", "Cannot fetch git remote by SSH: this builder forwards no agent to git", {
        hint: "Use an https:// URL.",
      });
    return new GitInstance(id, this.#services);
  }
}

interface GitServices extends GitSourceOptions {
  readonly locks: KeyedLocks;
}

class GitInstance implements SourceInstance {
  readonly #id: GitIdentifier;
  readonly #services: GitServices;
  #resolved: ResolvedRef | undefined;

  constructor(id: GitIdentifier, services: GitServices) {
    this.#id = id;
    this.#services = services;
  }

  async cacheKey(_index: number, context: SourceContext): Promise<SourceCacheKey> {
    const resolved = await this.#resolve(context);
    return { key: gitCacheKey(this.#id, resolved.commit, resolved.ref), pin: resolved.object, done: true };
  }

  async snapshot(context: SourceContext): Promise<ImmutableRef> {
    const resolved = await this.#resolve(context);
    const { cache, locks } = this.#services;
    const { signal } = context;
    const key = `${gitCacheKey(this.#id, resolved.commit, resolved.ref)}:${this.#id.subdirectory}`;
    using _lock = await locks.acquire(`snapshot ${key}`, { signal });
    for (const id of cache.search(keys.snapshot, key)) {
      const ref = await this.#find(id, signal);
      if (ref !== undefined) return ref;
    }
    return await this.#withGit(context, async (git) => await this.#checkOut(git, { resolved, key }, context));
  }

  async #resolve(context: SourceContext): Promise<ResolvedRef> {
    this.#resolved ??= await this.#withGit(
      context,
      async (git) => await resolveRef(git, this.#id, { signal: context.signal }),
    );
    return this.#resolved;
  }

  async #checkOut(
    git: GitCommand,
    wanted: { readonly resolved: ResolvedRef; readonly key: string },
    context: SourceContext,
  ): Promise<ImmutableRef> {
    const { cache, locks } = this.#services;
    const { signal } = context;
    const shown = redactUrls(this.#id.remote);
    using _lock = await locks.acquire(`remote ${this.#id.remote}`, { signal });
    await using mirror = await this.#openMirror(git, wanted.resolved, context);
    await using held = await mirror.mount({ signal });
    const directory = getPlainDirectory(held);
    await this.#fetch(git.at({ gitDirectory: directory }), { resolved: wanted.resolved, directory }, context);
    await using tree = await cache.create(undefined, {
      signal,
      description: `git snapshot for ${shown}#${this.#id.ref}`,
      recordType: "source.git.checkout",
    });
    {
      await using target = await tree.mount({ signal });
      const request = {
        id: this.#id,
        resolved: wanted.resolved,
        mirror: directory,
        target: getPlainDirectory(target),
      };
      await checkOut(git, request, { signal });
    }
    tree.metadata.set(keys.snapshot, wanted.key, { index: true });
    return await tree.commit();
  }

  /** The remote's mirror, made if there is none yet. The remote's lock must be held. */
  async #openMirror(git: GitCommand, resolved: ResolvedRef, context: SourceContext): Promise<MutableRef> {
    const { cache } = this.#services;
    const { signal } = context;
    const { remote } = this.#id;
    // The two kinds of object ids cannot be in one repository.
    const name = resolved.object.length === 64 ? `${remote}#sha256` : remote;
    for (const id of cache.search(keys.remote, name)) {
      try {
        return await cache.getMutable(id, { signal });
      } catch (error) {
        if (!(error instanceof BuildError) || error.code === "canceled") throw error;
      }
    }
    await using stack = new AsyncDisposableStack();
    const description = `shared git repo for ${redactUrls(remote)}`;
    const created = stack.use(await cache.create(undefined, { signal, description, retain: true }));
    {
      await using held = await created.mount({ signal });
      const inMirror = git.at({ gitDirectory: getPlainDirectory(held) });
      const format = resolved.object.length === 64 ? ["--object-format=sha256"] : [];
      await inMirror.run(["-c", "init.defaultBranch=master", "init", "--bare", ...format], { signal });
      // Without credentials: those come with each command.
      await inMirror.run(["remote", "add", "origin", remote], { signal });
    }
    created.metadata.set(keys.remote, name, { index: true });
    stack.move();
    return created;
  }

  /** Makes the mirror have the resolved object. */
  async #fetch(
    git: GitCommand,
    wanted: { readonly resolved: ResolvedRef; readonly directory: string },
    context: SourceContext,
  ): Promise<void> {
    const { signal } = context;
    const { ref, object } = wanted.resolved;
    const has = async (): Promise<boolean> => await git.succeeds(["cat-file", "-e", `${object}^{commit}`], { signal });
    const failure = `failed to fetch remote ${redactUrls(this.#id.remote)}`;
    await rm(join(wanted.directory, "shallow.lock"), { force: true });
    const everything = (): string[] => [
      "fetch",
      "--tags",
      ...(existsSync(join(wanted.directory, "shallow")) ? ["--unshallow"] : []),
      "origin",
    ];
    if (!(await has())) {
      const shallow = ["fetch", "--depth=1", "--no-tags", "origin"];
      // A ref keeps what was fetched from being collected, and tells the server what is here.
      const target = `refs/buildkit-mirror/${ref.replace(/^refs\//, "")}`;
      const args = this.#id.fetchByCommit
        ? [...shallow, object]
        : isCommitId(ref)
          ? [...everything(), ref]
          : [...shallow, "--force", "--", `${ref}:${target}`];
      await explain(failure, async () => await git.run(args, { signal }));
    }
    if (!(await has())) {
      // The ref moved since it was resolved: the commit may still be somewhere in the history.
      await explain(failure, async () => await git.run([...everything(), object], { signal }));
      if (!(await has()))
        throw new BuildError(
          "failed_precondition",
          `fetched ref ${ref} does not match expected commit ${object} and commit can not be found in the repository`,
        );
    }
    await this.#verify(git, object, signal);
  }

  async #verify(git: GitCommand, object: string, signal: AbortSignal): Promise<void> {
    const { checksum } = this.#id;
    if (object.startsWith(checksum)) return;
    const commit = (await git.run(["rev-parse", `${object}^{}`], { signal })).trim();
    if (!commit.startsWith(checksum)) throw otherChecksum(checksum, `${object} or ${commit}`);
  }

  async #find(id: string, signal: AbortSignal): Promise<ImmutableRef | undefined> {
    try {
      return await this.#services.cache.get(id, { signal });
    } catch (error) {
      if (error instanceof BuildError && error.code === "not_found") return undefined;
      throw error;
    }
  }

  async #withGit<T>(context: SourceContext, work: (git: GitCommand) => Promise<T>): Promise<T> {
    const authorization = await this.#authorization(context);
    const options: GitCommandOptions = {
      progress: context.progress,
      ...(authorization !== undefined && { authorization: { scope: this.#tokenScope(), value: authorization } }),
    };
    if (this.#id.knownSshHosts === "") return await work(new GitCommand(options));
    const folder = await mkdtemp(join(tmpdir(), "buildkit-git-"));
    try {
      const knownHostsFile = join(folder, "known_hosts");
      await writeFile(knownHostsFile, this.#id.knownSshHosts, { mode: 0o600 });
      return await work(new GitCommand({ ...options, knownHostsFile }));
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  /** Submodules of github.com are nearly always there too, and take the same token. */
  #tokenScope(): string {
    return /^https:\/\/(?:www\.)?github\.com\//.exec(this.#id.remote)?.[0] ?? this.#id.remote;
  }

  /** The first of the secrets that a client has, those for the host first. */
  async #authorization(context: SourceContext): Promise<string | undefined> {
    const { remote, authHeaderSecret, authTokenSecret } = this.#id;
    if (!/^https?:/i.test(remote)) return undefined;
    const { host } = new URL(remote);
    const candidates = [`.${host}`, ""].flatMap((suffix) => [
      ...(authHeaderSecret === "" ? [] : [{ name: `${authHeaderSecret}${suffix}`, isToken: false }]),
      ...(authTokenSecret === "" ? [] : [{ name: `${authTokenSecret}${suffix}`, isToken: true }]),
    ]);
    for (const { name, isToken } of candidates) {
      const secret = await this.#secret(name, context);
      if (secret === undefined) continue;
      return isToken ? `basic ${Buffer.from(`x-access-token:${secret}`).toString("base64")}` : secret;
    }
    return undefined;
  }

  async #secret(id: string, context: SourceContext): Promise<string | undefined> {
    const { signal } = context;
    try {
      return await withAnySession(this.#services.sessions, context.sessions(), {
        signal,
        work: async (caller) => Buffer.from(await getSecret(caller, id, { signal })).toString("utf8"),
      });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof BuildError && error.code === "not_found") return undefined;
      throw error;
    }
  }
}
