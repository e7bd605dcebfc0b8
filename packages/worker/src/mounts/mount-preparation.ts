import { opspb } from "@buildkit-ts/api";
import type { CommitOptions, HeldMounts, ImmutableRef, MutableRef } from "@buildkit-ts/cache";
import type { ContainerMount } from "@buildkit-ts/executor";
import type { Mount } from "@buildkit-ts/mount";
import { compareText, rootedPath } from "../content-selector.ts";
import { invalid, rootMount } from "../definition/validate-op.ts";
import { refOptions } from "../ref-options.ts";
import type { CacheMountScope } from "./cache-mounts.ts";
import { cacheMountRequest } from "./lock-cache-mounts.ts";
import { inputOf, tmpfs } from "./mount-options.ts";
import type { MountDeps, MountRequest, MountView, PreparedMounts } from "./prepare-mounts.ts";
import { createSecretFile } from "./secret-file.ts";
import { fetchSecret } from "./session-secret.ts";
import { createSshSocket } from "./ssh-socket.ts";

const typeNames: readonly string[] = ["BIND", "SECRET", "SSH", "CACHE", "TMPFS"];

/** The tree behind a mount: one that was given, or one that the step changes. */
type Tree =
  | { readonly kind: "input"; readonly ref: ImmutableRef }
  | { readonly kind: "changed"; readonly ref: MutableRef };

/** A mount as the container gets it. */
interface Prepared {
  readonly mounts: readonly Mount[];
  readonly tree: Tree | undefined;
  readonly view: MountView;
}

/** Mounts on their way to being a step's; holds what was acquired until it is disposed. */
export class MountPreparation implements AsyncDisposable {
  readonly #request: MountRequest;
  readonly #deps: MountDeps;
  readonly #scope: CacheMountScope;
  /** In the order of acquisition: mutable refs first, then the mounts of them. */
  readonly #refs = new AsyncDisposableStack();
  readonly #held = new AsyncDisposableStack();
  readonly #outputs: Tree[] = [];
  readonly #prepared: (Prepared | undefined)[] = [];
  readonly #mounts: ContainerMount[] = [];
  #root: { readonly mounts: readonly Mount[]; readonly readonly: boolean } | undefined;

  /** @param options.scope The step's cache directories; those that it locks are in it already. */
  constructor(request: MountRequest, { scope, ...deps }: MountDeps & { readonly scope: CacheMountScope }) {
    this.#request = request;
    this.#deps = deps;
    this.#scope = this.#refs.use(scope);
  }

  async add(mount: opspb.Mount): Promise<void> {
    const isRoot = mount.dest === rootMount;
    if (isRoot && mount.mountType !== opspb.MountType.BIND) {
      throw invalid(`invalid mount type ${typeNames[mount.mountType] ?? mount.mountType} for ${mount.dest}`);
    }
    const prepared = await this.#prepare(mount, inputOf(mount, this.#request.inputs));
    this.#prepared.push(prepared);
    if (prepared === undefined) return;
    const { mounts } = prepared;
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

  async #prepare(mount: opspb.Mount, ref: ImmutableRef | undefined): Promise<Prepared | undefined> {
    switch (mount.mountType) {
      case opspb.MountType.BIND:
        return await this.#bind(mount, ref);
      case opspb.MountType.CACHE:
        return await this.#cache(mount, ref);
      case opspb.MountType.TMPFS:
        return withoutTree(tmpfs(mount));
      case opspb.MountType.SECRET:
        return await this.#secret(mount);
      case opspb.MountType.SSH:
        return await this.#ssh(mount);
      default:
        throw invalid(`mount type ${mount.mountType} not implemented`);
    }
  }

  async #bind(mount: opspb.Mount, ref: ImmutableRef | undefined): Promise<Prepared> {
    const hasOutput = mount.output !== -1n;
    const isRoot = mount.dest === rootMount;
    if (hasOutput && mount.readonly && ref !== undefined && !isRoot) {
      this.#outputs.push({ kind: "input", ref });
      return await this.#view(ref);
    }
    if (!hasOutput && !isRoot && mount.readonly && ref !== undefined) return await this.#view(ref);
    if (!hasOutput && isRoot && ref === undefined) throw invalid(`mount ${mount.dest} has no input`);
    const changed = await this.#create(mount, ref);
    const tree: Tree = { kind: "changed", ref: changed };
    if (hasOutput) this.#outputs.push(tree);
    const { signal } = this.#request.context;
    const mounts = this.#hold(await changed.mount({ signal }));
    return { mounts, tree, view: async () => await changed.mount({ signal, readonly: true }) };
  }

  async #view(ref: ImmutableRef): Promise<Prepared> {
    const view: MountView = async () => await ref.mount(refOptions(this.#request.context));
    return { mounts: this.#hold(await view()), tree: { kind: "input", ref }, view };
  }

  async #create(mount: opspb.Mount, ref: ImmutableRef | undefined): Promise<MutableRef> {
    const { name, context } = this.#request;
    const description = `mount ${mount.dest} from ${name}`;
    return this.#refs.use(await this.#deps.cache.create(ref, { ...refOptions(context), description }));
  }

  async #cache(mount: opspb.Mount, ref: ImmutableRef | undefined): Promise<Prepared> {
    const held = await this.#scope.mount(cacheMountRequest(mount, this.#request));
    if (mount.output !== -1n && ref !== undefined) this.#outputs.push({ kind: "input", ref });
    const prepared = withoutTree(this.#hold(held));
    return ref === undefined ? prepared : { ...prepared, tree: { kind: "input", ref } };
  }

  async #secret(mount: opspb.Mount): Promise<Prepared | undefined> {
    const options = mount.secretOpt;
    if (options === undefined) throw invalid("invalid secret mount options");
    if (options.ID === "") throw invalid("secret ID missing from mount options");
    const { signal } = this.#request.context;
    const data = await fetchSecret(this.#sessionAccess(), { id: options.ID, optional: options.optional });
    if (data === undefined) return undefined;
    const { uid, gid, mode } = options;
    const directory = this.#deps.temporaryDirectory;
    return withoutTree(this.#hold(await createSecretFile(data, { directory, uid, gid, mode, signal })));
  }

  async #ssh(mount: opspb.Mount): Promise<Prepared | undefined> {
    const options = mount.SSHOpt;
    if (options === undefined) throw invalid("invalid ssh mount options");
    const { ID: id, optional, uid, gid, mode } = options;
    const directory = this.#deps.temporaryDirectory;
    const socket = await createSshSocket(this.#sessionAccess(), { id, optional, uid, gid, mode, directory });
    return socket === undefined ? undefined : withoutTree(this.#hold(socket));
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
      views: this.#prepared.map((prepared) => prepared?.view),
      commitOutputs: async () => await this.#commit(this.#outputs, {}),
      // It is nobody's result: with the client that may look into it, it goes.
      commitFailed: async () =>
        await this.#commit(
          this.#prepared.map((prepared) => prepared?.tree),
          { transient: true },
        ),
      [Symbol.asyncDispose]: async () => await this[Symbol.asyncDispose](),
    };
  }

  async #commit(trees: readonly (Tree | undefined)[], options: CommitOptions): Promise<(ImmutableRef | undefined)[]> {
    // Nothing may be mounted when a ref is committed.
    await this.#held.disposeAsync();
    const committed: (ImmutableRef | undefined)[] = [];
    try {
      for (const tree of trees)
        committed.push(tree?.kind === "input" ? tree.ref.clone() : await tree?.ref.commit(options));
      return committed;
    } catch (error) {
      for (const ref of committed) await ref?.[Symbol.asyncDispose]();
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

function withoutTree(mounts: readonly Mount[]): Prepared {
  const held = { mounts, [Symbol.asyncDispose]: async () => undefined };
  return { mounts, tree: undefined, view: async () => held };
}
