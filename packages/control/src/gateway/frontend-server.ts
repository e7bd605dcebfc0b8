import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { Duplex } from "node:stream";
import { gatewaypb, healthpb } from "@buildkit-ts/api";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { FrontendRun } from "../bridge/frontend-run.ts";
import { llbBridgeService } from "../bridge/llb-bridge-service.ts";
import { healthService } from "../wire/health-service.ts";
import { maxMessageBytes } from "../wire/message-limit.ts";
import { unknownMethod } from "../wire/unknown-method.ts";

/** A frontend is one client with few calls at a time; each may send messages of 16 MiB. */
const maxCalls = 100;

/**
 * Serves one frontend on its connection, until it is disposed.
 *
 * @param options.onBroken Told once, if what comes is not HTTP/2.
 */
export function serveFrontend(
  run: FrontendRun,
  connection: Duplex,
  options: { readonly onBroken: (error: Error) => void },
): Disposable {
  const stopped = new AbortController();
  const adapter = connectNodeAdapter({
    routes: (router) => {
      router.service(
        gatewaypb.LLBBridge,
        llbBridgeService(async () => run),
      );
      router.service(healthpb.Health, healthService({ signal: stopped.signal }));
    },
    fallback: unknownMethod,
    readMaxBytes: maxMessageBytes,
    writeMaxBytes: maxMessageBytes,
    shutdownSignal: stopped.signal,
  });
  const server: Http2Server = createServer({ settings: { maxConcurrentStreams: maxCalls } }, adapter);
  server.on("session", (session: ServerHttp2Session) => session.on("error", () => session.destroy()));
  server.on("sessionError", options.onBroken);
  connection.on("error", () => undefined);
  server.emit("connection", connection);
  return {
    [Symbol.dispose]: () => {
      stopped.abort(new DOMException("The frontend has ended", "AbortError"));
      connection.destroy();
    },
  };
}
