import { opspb } from "@buildkit-ts/api";
import type { CacheManager, HeldMounts, ImmutableRef, MutableRef } from "@buildkit-ts/cache";
import type { ContainerMount } from "@buildkit-ts/executor";
import type { Mount } from "@buildkit-ts/mount";
import type { SessionManager } from "@buildkit-ts/session";
import type { OpContext } from "@buildkit-ts/solver";
import { compareText, rootedPath } from "../content-selector.ts";
import { invalid, rootMount } from "../definition/validate-op.ts";
import { refOptions } from "../ref-options.ts";
import type { CacheMountScope, CacheMounts, CacheSharing } from "./cache-mounts.ts";
import { createSecretFile } from "./secret-file.ts";
import { fetchSecret } from "./session-secret.ts";
import { createSshSocket } from "./ssh-socket.ts";

/** What mounts of steps are made with. */
export interface MountDeps {
  readonly cache: Pick<CacheManager, "create">;
  readonly cacheMounts: CacheMounts;
  readonly sessions: Pick<SessionManager, "get">;
  /** The worker's own, for mount points. */
  readonly temporaryDirectory: string;
}

export interface MountRequest {
  readonly mounts: readonly opspb.Mount[];
  /** By input index. */
  readonly inputs: readonly (ImmutableRef | undefined)[];
  readonly cwd: string;
  /** What the step is called in descriptions of refs: `exec /bin/sh -c …`. */
  readonly name: string;
  readonly context: OpContext;
}

/**
 * A step's mounts and what becomes of them.
 *
 * Disposing gives back everything but the refs that {@linkcode commitOutputs} gave; call that only after the step has ended.
 */
export interface PreparedMounts extends AsyncDisposable {
  readonly root: readonly Mount[];
  readonly readonlyRoot: boolean;
  /** Sorted, so that parents come before children. */
  readonly mounts: readonly ContainerMount[];
  /** Ends all mounts and gives the outputs, in the order of the mounts that have one. */
  commitOutputs(): Promise<(ImmutableRef | undefined)[]>;
}

const typeNames: readonly string[] = ["BIND", "SECRET", "SSH", "CACHE", "TMPFS"];

/** Makes everything that a step is to see. @throws {BuildError} `invalid_argument`, for mounts that make no sense. */
export async function prepareMounts(request: MountRequest, deps: MountDeps): Promise<PreparedMounts> {
  await using stack = new AsyncDisposableStack();
  const preparation = stack.use(new Preparation(request, deps));
  for (const mount of request.mounts) await preparation.add(mount);
  const prepared = preparation.finish();
  stack.move();
  return prepared;
}

type Output =
  | { readonly kind: "input"; readonly ref: ImmutableRef }
  | { readonly kind: "changed"; readonly ref: MutableRef };

class Preparation implements AsyncDisposable {
  readonly #request: MountRequest;
  readonly #deps: MountDeps;
  readonly #scope: CacheMountScope;
  /** In the order of acquisition: mutable refs first, then the mounts of them. */
  readonly #refs = new AsyncDisposableStack();
  readonly #held = new AsyncDisposableStack();
  readonly #outputs: Output[] = [];
  readonly #mounts: ContainerMount[] = [];
  #root: { readonly mounts: readonly Mount[]; readonly readonly: boolean } | undefined;

  constructor(request: MountRequest, deps: MountDeps) {
    this.#request = request;
    this.#deps = deps;
    this.#scope = this.#refs.use(deps.cacheMounts.createScope());
  }

  async add(mount: opspb.Mount): Promise<void> {
    const isRoot = mount.dest === rootMount;
    if (isRoot && mount.mountType !== opspb.MountType.BIND) {
      throw invalid(`invalid mount type ${typeNames[mount.mountType] ?? mount.mountType} for ${mount.dest}`);
    }
    const mounts = await this.#prepare(mount, this.#input(mount));
    if (mounts === undefined) return;
    if (isRoot) {
      this.#root = { mounts, readonly: mount.readonly };
      return;
    }
    const destination = mount.dest.startsWith("/")
      ? rootedPath(mount.dest)
      : rootedPath(`${this.#request.cwd}/${mount.dest}`);
    this.#mounts.push({
      destination,
      mounts,
      readonly: mount.readonly,
      ...(mount.selector !== "" && { selector: mount.selector }),
    });
  }

  #input(mount: opspb.Mount): ImmutableRef | undefined {
    if (mount.input === -1n) return undefined;
    const { inputs } = this.#request;
    if (mount.input < 0n || mount.input >= BigInt(inputs.length)) throw invalid(`missing input ${mount.input}`);
    return inputs[Number(mount.input)];
  }

  async #prepare(mount: opspb.Mount, ref: ImmutableRef | undefined): Promise<readonly Mount[] | undefined> {
    switch (mount.mountType) {
      case opspb.MountType.BIND:
        return await this.#bind(mount, ref);
      case opspb.MountType.CACHE:
        return await this.#cache(mount, ref);
      case opspb.MountType.TMPFS:
        return tmpfs(mount);
      case opspb.MountType.SECRET:
        return await this.#secret(mount);
      case opspb.MountType.SSH:
        return await this.#ssh(mount);
      default:
        throw invalid(`mount type ${mount.mountType} not implemented`);
    }
  }

  async #bind(mount: opspb.Mount, ref: ImmutableRef | undefined): Promise<readonly Mount[]> {
    const hasOutput = mount.output !== -1n;
    const isRoot = mount.dest === rootMount;
    if (hasOutput && mount.readonly && ref !== undefined && !isRoot) {
      this.#outputs.push({ kind: "input", ref });
      return await this.#view(ref);
    }
    if (!hasOutput && !isRoot && mount.readonly && ref !== undefined) return await this.#view(ref);
    if (!hasOutput && isRoot && ref === undefined) throw invalid(`mount ${mount.dest} has no input`);
    const changed = await this.#create(mount, ref);
    if (hasOutput) this.#outputs.push({ kind: "changed", ref: changed });
    return this.#hold(await changed.mount({ signal: this.#request.context.signal }));
  }

  async #view(ref: ImmutableRef): Promise<readonly Mount[]> {
    return this.#hold(await ref.mount(refOptions(this.#request.context)));
  }

  async #create(mount: opspb.Mount, ref: ImmutableRef | undefined): Promise<MutableRef> {
    const { name, context } = this.#request;
    const description = `mount ${mount.dest} from ${name}`;
    return this.#refs.use(await this.#deps.cache.create(ref, { ...refOptions(context), description }));
  }

  async #cache(mount: opspb.Mount, ref: ImmutableRef | undefined): Promise<readonly Mount[]> {
    if (mount.cacheOpt === undefined) throw invalid("missing cache mount options");
    const { ID: id, sharing } = mount.cacheOpt;
    const suffix = id === mount.dest ? "" : ` with id ${JSON.stringify(id)}`;
    const held = await this.#scope.mount({
      id,
      sharing: sharingOf(sharing),
      base: ref,
      description: `cached mount ${mount.dest} from ${this.#request.name}${suffix}`,
      ...refOptions(this.#request.context),
    });
    if (mount.output !== -1n && ref !== undefined) this.#outputs.push({ kind: "input", ref });
    return this.#hold(held);
  }

  async #secret(mount: opspb.Mount): Promise<readonly Mount[] | undefined> {
    const options = mount.secretOpt;
    if (options === undefined) throw invalid("invalid secret mount options");
    if (options.ID === "") throw invalid("secret ID missing from mount options");
    const { signal } = this.#request.context;
    const data = await fetchSecret(this.#sessionAccess(), { id: options.ID, optional: options.optional });
    if (data === undefined) return undefined;
    const { uid, gid, mode } = options;
    const directory = this.#deps.temporaryDirectory;
    return this.#hold(await createSecretFile(data, { directory, uid, gid, mode, signal }));
  }

  async #ssh(mount: opspb.Mount): Promise<readonly Mount[] | undefined> {
    const options = mount.SSHOpt;
    if (options === undefined) throw invalid("invalid ssh mount options");
    const { ID: id, optional, uid, gid, mode } = options;
    const directory = this.#deps.temporaryDirectory;
    const socket = await createSshSocket(this.#sessionAccess(), { id, optional, uid, gid, mode, directory });
    return socket === undefined ? undefined : this.#hold(socket);
  }

  #sessionAccess(): Parameters<typeof fetchSecret>[0] {
    const { context } = this.#request;
    return { sessions: this.#deps.sessions, ids: context.sessions(), signal: context.signal };
  }

  #hold(held: HeldMounts): readonly Mount[] {
    return this.#held.use(held).mounts;
  }

  finish(): PreparedMounts {
    const root = this.#root;
    if (root === undefined) throw invalid("invalid exec op with no rootfs");
    return {
      root: root.mounts,
      readonlyRoot: root.readonly,
      mounts: this.#mounts.toSorted((a, b) => compareText(a.destination, b.destination)),
      commitOutputs: async () => await this.#commit(),
      [Symbol.asyncDispose]: async () => await this[Symbol.asyncDispose](),
    };
  }

  async #commit(): Promise<ImmutableRef[]> {
    // Nothing may be mounted when a ref is committed.
    await this.#held.disposeAsync();
    const committed: ImmutableRef[] = [];
    try {
      for (const { kind, ref } of this.#outputs) committed.push(kind === "input" ? ref.clone() : await ref.commit());
      return committed;
    } catch (error) {
      for (const ref of committed) await ref[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#held.disposeAsync();
    } finally {
      await this.#refs.disposeAsync();
    }
  }
}

function tmpfs({ TmpfsOpt, readonly }: opspb.Mount): readonly Mount[] {
  const size = TmpfsOpt?.size ?? 0n;
  const options = ["nosuid", ...(readonly ? ["ro"] : []), ...(size > 0n ? [`size=${size}`] : [])];
  return [{ type: "tmpfs", source: "tmpfs", options }];
}

function sharingOf(sharing: opspb.CacheSharingOpt): CacheSharing {
  switch (sharing) {
    case opspb.CacheSharingOpt.SHARED:
      return "shared";
    case opspb.CacheSharingOpt.PRIVATE:
      return "private";
    case opspb.CacheSharingOpt.LOCKED:
      return "locked";
    default:
      throw invalid(`invalid cache sharing option: ${sharing}`);
  }
}
