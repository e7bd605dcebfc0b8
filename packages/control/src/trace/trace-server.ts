import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import { create } from "@bufbuild/protobuf";
import { tracepb } from "@buildkit-ts/api";
import type { ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { unknownMethod } from "../wire/unknown-method.ts";
import { spansOf } from "./otlp-spans.ts";
import type { TraceStore } from "./trace-store.ts";

/** Processes of steps send here, and they are anybody's. */
const maxMessageBytes = 4 << 20;
const maxConnections = 200;

/** OpenTelemetry's collector: what is sent goes into the store. */
export function traceService(store: TraceStore): ServiceImpl<typeof tracepb.TraceService> {
  return {
    export: ({ resourceSpans }) => {
      store.add(spansOf(resourceSpans));
      return create(tracepb.ExportTraceServiceResponseSchema);
    },
  };
}

/** A server for processes of steps, which takes their spans and does nothing else. The caller listens and closes. */
export function createTraceServer(store: TraceStore): Http2Server {
  const adapter = connectNodeAdapter({
    routes: (router) => void router.service(tracepb.TraceService, traceService(store)),
    fallback: unknownMethod,
    readMaxBytes: maxMessageBytes,
  });
  const server = createServer({ settings: { maxConcurrentStreams: 10 } }, adapter);
  server.maxConnections = maxConnections;
  server.on("session", (session: ServerHttp2Session) => session.on("error", () => session.destroy()));
  server.on("sessionError", () => undefined);
  return server;
}
