import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type SecureServerOptions,
  type ServerHttp2Session,
} from "node:http2";
import { cacheplanpb, contentpb, controlpb, gatewaypb, healthpb, registrycheckpb, tracepb } from "@buildkit-ts/api";
import type { ErrorReporter } from "@buildkit-ts/async";
import type { ContentStore } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import { metadataFromRawHeaders, type SessionManager } from "@buildkit-ts/session";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { BridgeRegistry } from "./bridge/bridge-registry.ts";
import { llbBridgeService, routeByBuildId } from "./bridge/llb-bridge-service.ts";
import { cachePlanService } from "./cache-plan-service.ts";
import { contentService } from "./content-service.ts";
import { type ControlServiceOptions, controlService } from "./control-service.ts";
import { registryCheckService } from "./registry-check-service.ts";
import { traceService } from "./trace/trace-server.ts";
import { healthService } from "./wire/health-service.ts";
import { maxMessageBytes } from "./wire/message-limit.ts";
import { SessionStream } from "./wire/session-stream.ts";
import { connectErrorFrom } from "./wire/status-from-error.ts";
import { divertFrom, type TapConnectionsOptions, tapConnections } from "./wire/tapped-server.ts";
import { unknownMethod } from "./wire/unknown-method.ts";
import { UpgradedSessions } from "./wire/upgraded-sessions.ts";

/** Node leaves a connection's window at 64 KiB, which holds a context upload to a tenth of what the machine can. */
const connectionWindowBytes = 32 << 20;
const streamWindowBytes = 16 << 20;
const sessionPath = "/moby.buildkit.v1.Control/Session";

export interface ControlServerOptions extends ControlServiceOptions {
  readonly registry: BridgeRegistry;
  readonly sessions: SessionManager;
  /** What clients may list and read by digest. */
  readonly content: ContentStore;
  readonly errors: ErrorReporter;
  /** Aborted when the daemon stops. */
  readonly signal: AbortSignal;
  /** Aborted when the daemon begins to stop: it finishes what it does, and wants nothing new. */
  readonly draining: AbortSignal;
}

type Handler = (request: Http2ServerRequest, response: Http2ServerResponse) => void;

const http2Options = {
  settings: {
    initialWindowSize: streamWindowBytes,
    maxFrameSize: 16_384,
    maxConcurrentStreams: 10_000,
    maxHeaderListSize: 1 << 20,
  },
  maxSessionMemory: 1024,
  maxHeaderListPairs: 100_000,
  maxSendHeaderBlockLength: 1 << 20,
} as const;

const tapOptions = { settings: http2Options.settings, connectionWindowBytes };

/** A server for one listener; the caller calls `listen` and `close`. */
export function createControlServer(options: ControlServerOptions): Http2Server {
  const server = tune(createServer(http2Options, createHandler(options)));
  return tapConnections(server, "connection", tapOptionsFor(options));
}

/** The same with TLS. */
export function createSecureControlServer(options: ControlServerOptions, tls: SecureServerOptions): Http2SecureServer {
  const server = tune(createSecureServer({ ...http2Options, ...tls, allowHTTP1: false }, createHandler(options)));
  return tapConnections(server, "secureConnection", tapOptionsFor(options));
}

function tapOptionsFor(options: ControlServerOptions): TapConnectionsOptions {
  const upgraded = new UpgradedSessions(options);
  return { ...tapOptions, onHttp1: (socket) => upgraded.accept(socket) };
}

function tune<S extends Http2Server | Http2SecureServer>(server: S): S {
  server.on("session", (session: ServerHttp2Session) => {
    session.setLocalWindowSize(connectionWindowBytes);
    session.on("error", () => session.destroy());
  });
  // A client that breaks the protocol ends its own connection, and nothing else.
  server.on("sessionError", () => undefined);
  return server;
}

function createHandler(options: ControlServerOptions): Handler {
  const adapter = connectNodeAdapter({
    routes: (router) => addRoutes(router, options),
    fallback: unknownMethod,
    readMaxBytes: maxMessageBytes,
    writeMaxBytes: maxMessageBytes,
    // Clients are near, and progress is many small messages: compressing costs more than sending.
    compressMinBytes: maxMessageBytes,
    shutdownSignal: options.signal,
  });
  return (request, response) => {
    if (request.url === sessionPath) acceptSession(request, options);
    else adapter(request, response);
  };
}

function addRoutes(router: ConnectRouter, options: ControlServerOptions): void {
  router.service(controlpb.Control, controlService(options));
  router.service(cacheplanpb.CachePlan, cachePlanService(options.engine));
  router.service(registrycheckpb.RegistryCheck, registryCheckService(options));
  router.service(contentpb.Content, contentService(options.content));
  router.service(gatewaypb.LLBBridge, llbBridgeService(routeByBuildId(options.registry)));
  router.service(healthpb.Health, healthService({ signal: options.draining }));
  router.service(tracepb.TraceService, traceService(options.traces.store));
}

function acceptSession(request: Http2ServerRequest, options: ControlServerOptions): void {
  const { stream } = request;
  // Told of it a moment late: a client's next bytes may have ended the connection already, and to answer would throw.
  if (stream.destroyed) return;
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  let failure: BuildError | undefined;
  // Node's request/response layer listens as well, and would send trailers of its own.
  stream.removeAllListeners("wantTrailers");
  stream.on("wantTrailers", () => {
    const error = failure === undefined ? undefined : connectErrorFrom(failure);
    stream.sendTrailers({
      "grpc-status": String(error?.code ?? 0),
      ...(error !== undefined && { "grpc-message": encodeURIComponent(error.rawMessage) }),
    });
  });
  const connection = new SessionStream(stream, divertFrom(stream));
  const serve = async (): Promise<void> => {
    try {
      await options.sessions.handle(connection, metadataFromRawHeaders(request.rawHeaders), { signal: options.signal });
    } catch (error) {
      failure = BuildError.from(error);
    } finally {
      connection.destroy();
    }
  };
  serve().catch((error: unknown) => options.errors.report(error, "session"));
}
