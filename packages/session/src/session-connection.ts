import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import type { Duplex } from "node:stream";
import { Health, HealthCheckResponse_ServingStatus } from "@buildkit-ts/api/grpc/health";
import type { Clock } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type HealthPolicy, HealthWatch, healthPolicy } from "./health-watch.ts";
import type { SessionCaller } from "./session.ts";
import { callTraceHeaders } from "./wire/call-trace.ts";
import { DataTap, type DivertedData } from "./wire/data-tap.ts";
import { bulkSessionOptions, connectionWindowBytes, widenWindow } from "./wire/http2-settings.ts";
import { allValues, firstValue, type Metadata } from "./wire/metadata.ts";
import { callUnary, openStream } from "./wire/rpc-client.ts";

/** One client's session: an HTTP/2 client on the connection that the client opened. */
export class SessionConnection implements SessionCaller {
  readonly id: string;
  readonly name: string;
  readonly sharedKey: string;
  readonly http2: ClientHttp2Session;
  readonly #methods: ReadonlySet<string>;
  readonly #closed = new AbortController();
  readonly #tap: DataTap;
  readonly #clock: Clock;
  readonly #policy: HealthPolicy;
  #transport: Transport | undefined;
  #receivedBytes = 0;

  constructor(connection: Duplex, metadata: Metadata, clock: Clock) {
    this.id = firstValue(metadata, "x-docker-expose-session-uuid") ?? "";
    this.name = firstValue(metadata, "x-docker-expose-session-name") ?? "";
    this.sharedKey = firstValue(metadata, "x-docker-expose-session-sharedkey") ?? "";
    const methods = allValues(metadata, "x-docker-expose-session-grpc-method");
    this.#methods = new Set(methods.map((method) => method.toLowerCase()));
    this.#policy = healthPolicy(firstValue(metadata, "x-buildkit-session-health-custom-timeout"));
    this.#clock = clock;
    this.#tap = new DataTap(connection, {
      role: "client",
      settings: bulkSessionOptions.settings,
      connectionWindowBytes,
    });
    this.http2 = connect("http://localhost", { ...bulkSessionOptions, createConnection: () => this.#tap });
    this.http2.once("connect", widenWindow);
    connection.on("data", (chunk: Buffer) => {
      this.#receivedBytes += chunk.length;
    });
    this.http2.on("error", (error) => this.close(error));
    this.http2.once("close", () => this.close());
    connection.once("close", () => this.close());
    this.#tap.on("error", (error) => this.close(error));
  }

  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  get transport(): Transport {
    this.#transport ??= transportOn(this);
    return this.#transport;
  }

  supports(method: string): boolean {
    return this.#methods.has(method.toLowerCase());
  }

  openStream(method: string, metadata: Metadata): ClientHttp2Stream {
    if (this.closed.aborted) throw this.closed.reason as Error;
    return openStream(this.http2, method, metadata);
  }

  divert(stream: ClientHttp2Stream, onData: (data: Buffer) => void): DivertedData | undefined {
    if (stream.id === undefined) return undefined;
    return this.#tap.divert(stream.id, (data) => {
      onData(data);
      return undefined;
    });
  }

  /** Ends the session; everything that goes on in it fails. Idempotent. */
  close(cause?: unknown): void {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort(new BuildError("unavailable", `session ${this.id} was closed`, { cause }));
    this.http2.destroy();
    this.#tap.destroy();
  }

  /** Asks the client regularly whether it is alive, until the session ends. */
  async watchHealth(): Promise<void> {
    const closed = this.#closed.signal;
    const watch = new HealthWatch({
      policy: this.#policy,
      clock: this.#clock,
      check: async (signal) => await this.#check(signal),
      receivedBytes: () => this.#receivedBytes,
    });
    try {
      await watch.run({ signal: closed });
    } catch (error) {
      if (closed.aborted) return;
      const message = `Cannot keep session "${this.id}": health checks failed`;
      this.close(new BuildError("unavailable", message, { cause: error }));
    }
  }

  async #check(signal: AbortSignal): Promise<void> {
    const { status } = await callUnary(this.http2, { method: Health.method.check, request: {} }, { signal });
    if (status !== HealthCheckResponse_ServingStatus.SERVING) {
      throw new BuildError("unavailable", `Cannot use session "${this.id}": the client does not serve`);
    }
  }
}

function transportOn(session: SessionConnection): Transport {
  return createGrpcTransport({
    baseUrl: "http://localhost",
    sessionManager: {
      authority: "http://localhost",
      request: async (...[method, path, headers, options]) => {
        if (session.closed.aborted) throw session.closed.reason as Error;
        return session.http2.request({ ...headers, ...callTraceHeaders(), ":method": method, ":path": path }, options);
      },
      notifyResponseByteRead: () => undefined,
    },
  });
}
