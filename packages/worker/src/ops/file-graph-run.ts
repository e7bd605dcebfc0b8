import type { opspb } from "@buildkit-ts/api";
import type { CacheManager, ImmutableRef } from "@buildkit-ts/cache";
import { FileActionError } from "@buildkit-ts/errdefs";
import type { FileBackend, Owner } from "@buildkit-ts/fileop";
import type { OpContext } from "@buildkit-ts/solver";
import { invalid } from "../definition/validate-op.ts";
import { MountedTree } from "../mounts/mounted-tree.ts";
import { type CopySource, NewTree } from "../mounts/new-tree.ts";
import { createFileAction } from "./file-action.ts";
import { type FileGraph, ownerOf } from "./file-graph.ts";

/** What an index of the graph gives: a finished ref, or a tree that only the next action goes on with. */
type Node =
  | { readonly kind: "ref"; readonly ref: ImmutableRef | undefined }
  | { readonly kind: "tree"; readonly tree: NewTree };

export interface FileGraphRunOptions {
  readonly cache: Pick<CacheManager, "create">;
  readonly fileBackend: FileBackend;
  readonly temporaryDirectory: string;
  readonly inputs: readonly (ImmutableRef | undefined)[];
  readonly description: string;
  readonly context: OpContext;
}

/** One execution of a file op. Disposing frees everything but the refs that `outputs` gave. */
export class FileGraphRun implements AsyncDisposable {
  readonly #graph: FileGraph;
  readonly #options: FileGraphRunOptions;
  readonly #nodes = new Map<number, Promise<Node>>();
  readonly #owned = new AsyncDisposableStack();
  /** What the action that failed was changing and reading, by action. */
  #failed: ReadonlyMap<number, Node> = new Map();

  constructor(graph: FileGraph, options: FileGraphRunOptions) {
    this.#graph = graph;
    this.#options = options;
  }

  /** By output index; each ref a hold of the caller's own. */
  async outputs(): Promise<(ImmutableRef | undefined)[]> {
    // One after the other, each after what it needs: actions change one tree, and a chain may be of any length.
    for (const index of this.#graph.order) await this.#node(index);
    const nodes = await Promise.all(this.#graph.outputs.map(async (index) => await this.#node(index)));
    return nodes.map((node) => {
      if (node.kind !== "ref") throw new TypeError("An output was not committed");
      return node.ref?.clone();
    });
  }

  /** By action: the trees that the failed one was given by others or was changing; undefined for all that are none. */
  async commitFailed(): Promise<(ImmutableRef | undefined)[]> {
    const left: (ImmutableRef | undefined)[] = this.#graph.actions.map(() => undefined);
    for (const [action, node] of this.#failed) {
      left[action] = node.kind === "tree" ? await node.tree.commit({ transient: true }) : node.ref?.clone();
    }
    return left;
  }

  async #node(index: number): Promise<Node> {
    const known = this.#nodes.get(index);
    if (known !== undefined) return await known;
    const input = this.#options.inputs.length;
    const action = this.#graph.actions[index - input];
    const node =
      index < input || action === undefined
        ? Promise.resolve<Node>({ kind: "ref", ref: this.#options.inputs[index] })
        : this.#apply(index, action);
    this.#nodes.set(index, node);
    return await node;
  }

  async #apply(index: number, action: opspb.FileAction): Promise<Node> {
    const target = await this.#target(action);
    try {
      // Views end before anything is committed.
      await using views = new AsyncDisposableStack();
      const source = action.action.case === "copy" ? await this.#source(action, views) : undefined;
      const owner = await this.#resolveOwner(ownerOf(action), views);
      await target.apply(createFileAction(action, owner), source);
    } catch (error) {
      throw await this.#actionFailed(error, { index, action, target });
    }
    if (!this.#graph.committed.has(index)) return { kind: "tree", tree: target };
    return { kind: "ref", ref: this.#owned.use(await target.commit()) };
  }

  async #actionFailed(
    error: unknown,
    { index, action, target }: { readonly index: number; readonly action: opspb.FileAction; readonly target: NewTree },
  ): Promise<FileActionError> {
    const inputs = this.#options.inputs.length;
    const nodes = new Map<number, Node>([[index - inputs, { kind: "tree", tree: target }]]);
    const other = Number(action.secondaryInput);
    const source = other >= inputs ? await this.#nodes.get(other) : undefined;
    if (source !== undefined) nodes.set(other - inputs, source);
    this.#failed = nodes;
    return new FileActionError(error, index - inputs);
  }

  async #target(action: opspb.FileAction): Promise<NewTree> {
    const node = action.input === -1n ? undefined : await this.#node(Number(action.input));
    if (node?.kind === "tree") return node.tree;
    return this.#owned.use(await this.#createTree(node?.ref));
  }

  async #createTree(base: ImmutableRef | undefined): Promise<NewTree> {
    const { description } = this.#options;
    return await NewTree.create(base, {
      ...this.#options,
      description: description === "" ? "fileop target" : description,
    });
  }

  async #source(action: opspb.FileAction, views: AsyncDisposableStack): Promise<CopySource> {
    if (action.secondaryInput !== -1n) return await this.#view(Number(action.secondaryInput), views);
    return { tree: await this.#emptyTree(views), ref: undefined };
  }

  async #view(index: number, views: AsyncDisposableStack): Promise<CopySource> {
    const node = await this.#node(index);
    if (node.kind === "tree") return { tree: await node.tree.mount(), ref: undefined };
    const { ref } = node;
    if (ref === undefined) return { tree: await this.#emptyTree(views), ref };
    const { temporaryDirectory, context } = this.#options;
    return { tree: views.use(await MountedTree.view(ref, temporaryDirectory, context)), ref };
  }

  async #emptyTree(views: AsyncDisposableStack): Promise<MountedTree> {
    return await views.use(await this.#createTree(undefined)).mount();
  }

  async #resolveOwner(owner: opspb.ChownOpt | undefined, views: AsyncDisposableStack): Promise<Owner | undefined> {
    if (owner === undefined) return undefined;
    const user = await this.#account(owner.user, views);
    const group = await this.#account(owner.group, views);
    const { fileBackend } = this.#options;
    const byUser =
      user === undefined ? { uid: 0, gid: 0 } : await fileBackend.resolveOwner({ user: user.name }, user.root);
    if (group === undefined) return byUser;
    const { gid } = await fileBackend.resolveOwner({ group: group.name }, group.root);
    return { uid: byUser.uid, gid };
  }

  async #account(
    who: opspb.UserOpt | undefined,
    views: AsyncDisposableStack,
  ): Promise<{ readonly name: string | number; readonly root: string | undefined } | undefined> {
    if (who?.user.case === "byID") return { name: who.user.value, root: undefined };
    if (who?.user.case !== "byName") return undefined;
    const { name, input } = who.user.value;
    if (input < 0n) throw invalid(`invalid user index: ${input}`);
    return { name, root: (await this.#view(Number(input), views)).tree.path };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#nodes.values());
    await this.#owned.disposeAsync();
  }
}
