import { Semaphore, WorkerCalls } from "@buildkit-ts/async";
import { mountTemporarily } from "@buildkit-ts/mount";
import { type Digest, digestOf } from "@buildkit-ts/oci";
import type { CacheCore } from "../cache-core.ts";
import type { CacheRecord } from "../record/cache-record.ts";
import type { ChecksumOptions, ContentQuery, ImmutableRef, RefOptions } from "../refs.ts";
import type { ChangeRequest, DigestChanges } from "./change-digests.ts";
import type { ChecksumAnswer, ChecksumRequest } from "./checksum-request.ts";
import type { ContentListing } from "./content-listing.ts";
import { DigestTree } from "./digest-tree.ts";
import type { BytesRequest, FileQuestion, ListRequest } from "./list-content.ts";
import type { ChecksumQuery } from "./select-paths.ts";
import { encodeTree } from "./tree-codec.ts";

const cachedTrees = 20;

/** Content checksums of records, computed in worker threads and kept with the record. */
export class ContentChecksums implements AsyncDisposable {
  readonly #core: CacheCore;
  readonly #worker = new WorkerCalls<
    (ChecksumRequest & { readonly kind: "checksum" }) | ListRequest | BytesRequest | ChangeRequest,
    ChecksumAnswer | ContentListing | readonly boolean[] | Uint8Array | undefined
  >(new URL("./checksum.worker.ts", import.meta.url).href);
  readonly #turns = new Map<string, Semaphore>();
  readonly #trees = new Map<string, Uint8Array>();

  constructor(core: CacheCore) {
    this.#core = core;
  }

  async checksum(ref: ImmutableRef, path: string, options: ChecksumOptions): Promise<Digest> {
    const { signal } = options;
    signal.throwIfAborted();
    const query = queryOf(path, options);
    const key = JSON.stringify(query);
    const { table } = this.#core.registry;
    const known = table.getChecksum(ref.id, key);
    if (known !== undefined) return known;
    await using hold = ref.clone();
    // One at a time for a record: what the first one reads, the next one knows.
    const turn = this.#turns.get(hold.id) ?? new Semaphore(1);
    this.#turns.set(hold.id, turn);
    using _turn = await turn.acquire({ signal });
    const digest = await this.#compute(hold, query, options);
    table.setChecksum(hold.id, key, digest);
    return digest;
  }

  /** What some checksums are made of. */
  async list(ref: ImmutableRef, requests: readonly ContentQuery[], options: RefOptions): Promise<ContentListing> {
    const queries = requests.map(({ path, ...filters }) => queryOf(path, filters));
    return await this.#mounted(ref, options, async (root) => {
      const request: ListRequest = { kind: "list", queries, known: this.#loadTree(ref.id), root };
      return (await this.#worker.call(request, options)) as ContentListing;
    });
  }

  /** Which files would have the digest asked for, had they the attributes asked for. */
  async compareBytes(
    ref: ImmutableRef,
    files: readonly FileQuestion[],
    options: RefOptions,
  ): Promise<readonly boolean[]> {
    return await this.#mounted(ref, options, async (root) => {
      return (await this.#worker.call({ kind: "bytes", files, root }, options)) as readonly boolean[];
    });
  }

  async #compute(ref: ImmutableRef, query: ChecksumQuery, options: ChecksumOptions): Promise<Digest> {
    const known = this.#loadTree(ref.id);
    let answer: ChecksumAnswer = { kind: "sourceNeeded" };
    // All may be known already, and then mounting would be in vain.
    if (known !== undefined) answer = await this.#call({ query, known, root: undefined }, options);
    if (answer.kind === "sourceNeeded") answer = await this.#computeMounted(ref, { query, known, options });
    if (answer.kind === "sourceNeeded") throw new Error("The checksum worker did not read the tree");
    if (answer.known !== undefined) this.#storeTree(ref.id, answer.known);
    return answer.digest;
  }

  async #computeMounted(
    ref: ImmutableRef,
    request: {
      readonly query: ChecksumQuery;
      readonly known: Uint8Array | undefined;
      readonly options: ChecksumOptions;
    },
  ): Promise<ChecksumAnswer> {
    const { query, known, options } = request;
    return await this.#mounted(ref, options, async (root) => await this.#call({ query, known, root }, options));
  }

  async #call(request: ChecksumRequest, options: { readonly signal: AbortSignal }): Promise<ChecksumAnswer> {
    return (await this.#worker.call({ kind: "checksum", ...request }, options)) as ChecksumAnswer;
  }

  async #mounted<T>(ref: ImmutableRef, options: RefOptions, work: (root: string) => Promise<T>): Promise<T> {
    await using held = await ref.mount(options);
    await using mounted = await mountTemporarily(held.mounts, { signal: options.signal, onlyReads: true });
    return await work(mounted.path);
  }

  /** @param known Of a tree that this one differs from by the changes. */
  async setDigests(
    record: CacheRecord,
    digests: { readonly known: Uint8Array | undefined; readonly changes: DigestChanges },
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    const { known = encodeTree(receivedTree("directory")), changes } = digests;
    const tree = (await this.#worker.call({ kind: "change", known, changes }, options)) as Uint8Array | undefined;
    this.#core.registry.table.clearChecksums(record.id);
    if (tree !== undefined && !record.isGone) this.#storeTree(record.id, tree);
  }

  /** What is known of a record's tree; undefined, if that is nothing. */
  getDigests(record: CacheRecord): Uint8Array | undefined {
    return this.#trees.get(record.id) ?? this.#core.registry.table.getTree(record.id);
  }

  #loadTree(id: string): Uint8Array | undefined {
    const cached = this.#trees.get(id);
    const tree = cached ?? this.#core.registry.table.getTree(id) ?? this.#initialTree(id);
    if (tree !== undefined) this.#remember(id, tree);
    return tree;
  }

  /** What is known of a received tree whose digests nobody kept: it has the same as one whose digests are kept. */
  #initialTree(id: string): Uint8Array | undefined {
    const { recordType } = this.#core.registry.find(id)?.values ?? {};
    return recordType === "source.local" ? encodeTree(receivedTree("gap")) : undefined;
  }

  #storeTree(id: string, tree: Uint8Array): void {
    this.#remember(id, tree);
    this.#core.registry.table.setTree(id, tree);
  }

  #remember(id: string, tree: Uint8Array): void {
    this.#trees.delete(id);
    this.#trees.set(id, tree);
    for (const oldest of this.#trees.keys()) {
      if (this.#trees.size <= cachedTrees) return;
      this.#trees.delete(oldest);
      this.#turns.delete(oldest);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker[Symbol.asyncDispose]();
  }
}

/** BuildKit gives the root of a received tree no attributes. */
function receivedTree(kind: "gap" | "directory"): DigestTree {
  const tree = new DigestTree();
  tree.root.kind = kind;
  tree.root.header = digestOf("");
  return tree;
}

function queryOf(path: string, options: Omit<ContentQuery, "path">): ChecksumQuery {
  return {
    path,
    followLinks: options.followLinks === true,
    wildcard: options.wildcard === true,
    includePatterns: options.includePatterns ?? [],
    excludePatterns: options.excludePatterns ?? [],
    requiredPaths: options.requiredPaths ?? [],
  };
}
