import type { Http2SecureServer, Http2Server, ServerHttp2Session } from "node:http2";
import { systemClock } from "@buildkit-ts/async";
import {
  BridgeRegistry,
  BuildHistory,
  BuildRunner,
  type BuiltinFrontend,
  type ControlServerOptions,
  createGatewayFrontend,
  dockerfileFrontend,
  HistoryBlobs,
  TraceArchive,
  TraceStore,
} from "@buildkit-ts/control";
import { BuildError } from "@buildkit-ts/errdefs";
import { LocalSessionManager } from "@buildkit-ts/session";
import { Engine } from "./engine.ts";
import { IdleTimer } from "./idle-timer.ts";
import { type Listener, listen } from "./listener.ts";
import type { Logger } from "./logger.ts";
import { MemoryKeeper } from "./memory-keeper.ts";
import { readProvenanceEnvironment } from "./provenance-environment.ts";
import { lockRoot } from "./root-lock.ts";
import type { Settings } from "./settings.ts";
import { openTraceSocket } from "./trace-socket.ts";

/**
 * A running daemon: it holds its root's lock, has cleaned up after its predecessor, and listens.
 *
 *     start() ──▶ serving ──drain()──▶ draining ──dispose──▶ gone
 */
export class Daemon implements AsyncDisposable {
  readonly #resources: AsyncDisposableStack;
  readonly #listeners: readonly Listener[];
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #logger: Logger;
  readonly #draining: AbortController;
  /** Resolves when an idle timeout is set and has passed. */
  readonly idle: Promise<void>;

  private constructor(options: {
    readonly resources: AsyncDisposableStack;
    readonly listeners: readonly Listener[];
    readonly logger: Logger;
    readonly idleTimeoutMs: number | undefined;
    readonly draining: AbortController;
  }) {
    this.#resources = options.resources;
    this.#listeners = options.listeners;
    this.#logger = options.logger;
    this.#draining = options.draining;
    const idle = Promise.withResolvers<void>();
    this.idle = idle.promise;
    const timer = options.idleTimeoutMs === undefined ? undefined : new IdleTimer(options.idleTimeoutMs, idle.resolve);
    if (timer !== undefined) this.#resources.use(timer);
    for (const { server } of this.#listeners) {
      timer?.watch(server);
      this.#track(server);
    }
  }

  /** @throws {BuildError} saying what keeps the daemon from starting. */
  static async start(settings: Settings, logger: Logger): Promise<Daemon> {
    await using resources = new AsyncDisposableStack();
    resources.use(lockRoot(settings.root));
    resources.use(new MemoryKeeper({ clock: systemClock, reporter: logger }));
    const stopped = new AbortController();
    const sessions = new LocalSessionManager();
    const store = new TraceStore();
    const warn = (text: string): void => logger.log("warning", text);
    const traceSocket = resources.use(await openTraceSocket(settings.traceSocketPath, { store, warn }));
    const engine = resources.use(await Engine.open(settings, { sessions, logger, traceSocket: traceSocket.path }));
    const history = new BuildHistory({
      database: engine.database,
      blobs: new HistoryBlobs({ content: engine.content, pins: engine.cache }),
      errors: logger,
      limits: settings.history,
    });
    const traces = resources.use(new TraceArchive({ store, history, clock: systemClock, errors: logger }));
    const registry = new BridgeRegistry();
    const runner = resources.use(
      new BuildRunner({
        engine,
        sessions,
        registry,
        history,
        traces,
        frontends: createFrontends(settings.frontends, logger),
        allowedEntitlements: settings.entitlements,
        proxyNetwork: settings.proxyNetwork,
        provenanceEnvironment: readProvenanceEnvironment(settings.provenanceDirectory),
      }),
    );
    // First: who waits for builds to end, and for their records, waits for ones that were aborted.
    resources.defer(() => stopped.abort(new BuildError("unavailable", "The daemon is stopping")));
    const { content } = engine;
    const draining = new AbortController();
    const control = {
      engine,
      runner,
      history,
      traces,
      registry,
      sessions,
      content,
      errors: logger,
      signal: stopped.signal,
      draining: draining.signal,
    };
    const listeners = await listenAll(settings, control, logger);
    for (const { address, server } of listeners) {
      resources.defer(() => void server.close());
      logger.log("info", `running server on ${address}`);
    }
    const { idleTimeoutMs } = settings;
    return new Daemon({ resources: resources.move(), listeners, logger, idleTimeoutMs, draining });
  }

  #track(server: Http2Server | Http2SecureServer): void {
    server.on("session", (session: ServerHttp2Session) => {
      this.#sessions.add(session);
      session.once("close", () => this.#sessions.delete(session));
    });
  }

  /** Takes no new connections, and waits until the clients that are connected have gone or the time is over. */
  async drain(options: { readonly timeoutMs: number }): Promise<void> {
    this.#draining.abort(new BuildError("unavailable", "The daemon is stopping"));
    for (const { server } of this.#listeners) server.close();
    for (const session of this.#sessions) session.close();
    const deadline = Date.now() + options.timeoutMs;
    while (this.#sessions.size > 0 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    if (this.#sessions.size > 0) this.#logger.log("warning", `${this.#sessions.size} clients were still connected`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) session.destroy();
    await this.#resources.disposeAsync();
  }
}

function createFrontends(settings: Settings["frontends"], logger: Logger): Map<string, BuiltinFrontend> {
  const { allowedRepositories } = settings;
  const log = (line: string, source: string): void => logger.log("info", line, { frontend: source });
  const frontends = new Map<string, BuiltinFrontend>();
  if (settings.dockerfile) frontends.set("dockerfile.v0", dockerfileFrontend);
  if (settings.gateway) frontends.set("gateway.v0", createGatewayFrontend({ allowedRepositories, log }));
  return frontends;
}

async function listenAll(settings: Settings, control: ControlServerOptions, logger: Logger): Promise<Listener[]> {
  const { tls, uid, gid } = settings;
  const warn = (text: string): void => logger.log("warning", text);
  return await Promise.all(
    settings.addresses.map(async (address) => await listen(address, { control, tls, uid, gid, warn })),
  );
}
