import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { duplexPair } from "node:stream";
import type { ErrorReporter } from "@buildkit-ts/async";
import { type ImmutableRef, LocalCacheManager } from "@buildkit-ts/cache";
import { LocalContentStore } from "@buildkit-ts/content";
import type { ExportContext } from "@buildkit-ts/exporters";
import { WorkerLayerCodec } from "@buildkit-ts/layers";
import { MetadataDatabase } from "@buildkit-ts/metadata";
import { hostPlatform } from "@buildkit-ts/oci";
import type { ProgressWriter, StatusUpdate } from "@buildkit-ts/progress";
import { RegistryClient } from "@buildkit-ts/registry";
import { LocalSessionManager } from "@buildkit-ts/session";
import { type Attachable, ClientSession } from "@buildkit-ts/session/serving";
import { OverlaySnapshotter } from "@buildkit-ts/snapshots";
import type { SourceContext, SourceInstance } from "@buildkit-ts/sources";

/** What a source gives, which is no empty tree. */
export async function treeOf(instance: SourceInstance, context: SourceContext): Promise<ImmutableRef> {
  const ref = await instance.snapshot(context);
  assert.ok(ref);
  return ref;
}

const thrower: ErrorReporter = {
  report: (error) => {
    throw error;
  },
};

/** The parts of a daemon that sources and exporters work with, in one process. */
export class Parts implements AsyncDisposable {
  readonly sessions: LocalSessionManager = new LocalSessionManager();
  readonly registry: RegistryClient = new RegistryClient();
  readonly database: MetadataDatabase;
  readonly content: LocalContentStore;
  readonly cache: LocalCacheManager;
  readonly statuses: StatusUpdate[] = [];
  readonly #stack: AsyncDisposableStack;
  readonly #controller = new AbortController();

  private constructor(
    built: {
      readonly database: MetadataDatabase;
      readonly content: LocalContentStore;
      readonly cache: LocalCacheManager;
    },
    stack: AsyncDisposableStack,
  ) {
    this.database = built.database;
    this.content = built.content;
    this.cache = built.cache;
    this.#stack = stack;
  }

  /** @param reporter Throws what it is told, unless another is given. */
  static async open(root: string, reporter: ErrorReporter = thrower): Promise<Parts> {
    mkdirSync(root, { recursive: true });
    const stack = new AsyncDisposableStack();
    const database = stack.use(MetadataDatabase.open(join(root, "state.db"), { reporter }));
    const content = await LocalContentStore.open(root);
    const snapshotter = stack.use(new OverlaySnapshotter({ root: join(root, "snapshots"), database, reporter }));
    const codec = stack.use(new WorkerLayerCodec());
    const cache = stack.use(await LocalCacheManager.open({ root, database, snapshotter, content, codec, reporter }));
    return new Parts({ database, content, cache }, stack);
  }

  /** What sources and exporters are constructed with. */
  get services(): Pick<Parts, "sessions" | "registry" | "database" | "content" | "cache"> {
    const { sessions, registry, database, content, cache } = this;
    return { sessions, registry, database, content, cache };
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get progress(): ProgressWriter {
    const writer: ProgressWriter = {
      status: (update) => this.statuses.push(update),
      log: () => undefined,
      warn: () => undefined,
      vertex: () => ({ ...writer, complete: () => undefined }),
    };
    return writer;
  }

  /** Opens a client's session and gives its id. */
  async connect(attachables: readonly Attachable[], sharedKey = "key"): Promise<string> {
    const client = new ClientSession({ sharedKey, attachables });
    const [ours, theirs] = duplexPair();
    const ended = Promise.allSettled([
      this.sessions.handle(ours, client.metadata, { signal: this.signal }),
      client.serve(theirs, { signal: this.signal }),
    ]);
    this.#stack.defer(async () => {
      // A pair in memory does not notice that its other end is gone.
      ours.destroy();
      theirs.destroy();
      await ended;
    });
    await this.sessions.get(client.id, { signal: this.signal });
    return client.id;
  }

  context(session: string): ExportContext & SourceContext {
    return {
      signal: this.signal,
      progress: this.progress,
      session,
      sessions: () => [session],
      values: () => [],
      exporterIndex: 0,
      compatibilityVersion: 30,
      platform: hostPlatform(),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller.abort(new Error("The test is over"));
    await this.registry[Symbol.asyncDispose]();
    await this.#stack.disposeAsync();
  }
}
