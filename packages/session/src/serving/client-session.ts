import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { Health, HealthCheckResponse_ServingStatus } from "@buildkit-ts/api/grpc/health";
import type { Metadata } from "../wire/metadata.ts";
import { RpcServer } from "../wire/rpc-server.ts";

/** Adds services to what a client offers in its session. */
export type Attachable = (server: RpcServer) => void;

/** The client's side of a session: what it serves to the daemon on a connection that it opened itself. */
export class ClientSession {
  /** The session's id, which the requests that may use it name. */
  readonly id: string;
  readonly #sharedKey: string;
  readonly #server = new RpcServer();

  /** @param options.sharedKey Names the client's directories, so that the daemon can update what it has of them. */
  constructor(options: {
    readonly sharedKey: string;
    readonly attachables: readonly Attachable[];
    readonly id?: string;
  }) {
    this.id = options.id ?? randomBytes(16).toString("hex");
    this.#sharedKey = options.sharedKey;
    this.#server.handleUnary(Health.method.check, async () => ({ status: HealthCheckResponse_ServingStatus.SERVING }));
    for (const attach of options.attachables) attach(this.#server);
  }

  /** What is sent with the call that opens the session. */
  get metadata(): Metadata {
    return {
      "x-docker-expose-session-uuid": this.id,
      "x-docker-expose-session-sharedkey": this.#sharedKey,
      "x-docker-expose-session-grpc-method": this.#server.methods,
    };
  }

  /** Serves the daemon's calls until the connection ends or the signal is aborted. */
  async serve(connection: Duplex, options: { readonly signal: AbortSignal }): Promise<void> {
    await this.#server.serve(connection, options);
  }
}
