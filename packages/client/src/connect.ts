import { spawn } from "node:child_process";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect as connectSocket, isIP } from "node:net";
import { Duplex } from "node:stream";
import { checkServerIdentity } from "node:tls";
import { BuildError } from "@buildkit-ts/errdefs";
import { bulkSessionOptions, widenWindow } from "@buildkit-ts/session/rpc";
import type { ClientTls } from "./client-tls.ts";
import { type DialCommand, dialCommand } from "./connection-helper.ts";

/** How to reach a daemon. */
export interface ConnectOptions {
  /** Default 5,000. */
  readonly timeoutMs?: number;
  readonly tls?: ClientTls;
  readonly signal: AbortSignal;
}

/**
 * Opens an HTTP/2 connection to a daemon: `unix://…`, `tcp://host:port`, or a connection helper's address.
 *
 * @throws {BuildError} `unavailable`, if nobody answers; `invalid_argument`, for a malformed address.
 */
export async function connectDaemon(address: string, options: ConnectOptions): Promise<ClientHttp2Session> {
  const { signal } = options;
  signal.throwIfAborted();
  const session = openSession(address, options);
  // Later failures are those of the calls that meet them.
  session.on("error", () => undefined);
  const timeoutMs = options.timeoutMs ?? 5000;
  try {
    await connected(session, timeoutMs > 0 ? AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]) : signal);
  } catch (error) {
    session.destroy();
    signal.throwIfAborted();
    throw new BuildError("unavailable", `Cannot connect to buildkitd at "${address}": ${reason(error)}`, {
      cause: error,
      hint: "Start buildkitd, or name its address by --addr or BUILDKIT_HOST",
    });
  }
  widenWindow(session);
  return session;
}

function openSession(address: string, options: ConnectOptions): ClientHttp2Session {
  const command = dialCommand(address);
  if (command !== undefined) {
    const pipe = startCommand(command);
    return connectHttp2("http://localhost", { ...bulkSessionOptions, createConnection: () => pipe });
  }
  if (address.startsWith("unix://")) {
    const socket = connectSocket(address.slice("unix://".length));
    return connectHttp2("http://localhost", { ...bulkSessionOptions, createConnection: () => socket });
  }
  const url = address.startsWith("tcp://") ? URL.parse(`http://${address.slice("tcp://".length)}`) : null;
  if (url === null) throw new BuildError("invalid_argument", `invalid address ${address}`);
  const { tls } = options;
  if (tls === undefined) return connectHttp2(url.href, bulkSessionOptions);
  const name = tls.serverName ?? url.hostname.replace(/^\[|\]$/g, "");
  return connectHttp2(`https://${url.host}`, {
    ...bulkSessionOptions,
    // A greeting may not name an address, but a certificate may be made for one.
    servername: isIP(name) === 0 ? name : "",
    checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
    ...(tls.ca !== undefined && { ca: tls.ca }),
    ...(tls.cert !== undefined && { cert: tls.cert }),
    ...(tls.key !== undefined && { key: tls.key }),
  });
}

async function connected(session: ClientHttp2Session, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    session.once("connect", () => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    });
    session.once("error", reject);
    session.once("close", () => reject(new Error("connection closed")));
  });
}

function startCommand({ program, args }: DialCommand): Duplex {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
  // The pair is accepted; its type is missing in Node's declarations.
  const pair: object = { readable: child.stdout, writable: child.stdin };
  const pipe = Duplex.from(pair as NodeJS.ReadableStream);
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(-4096);
  });
  child.once("error", (error) => pipe.destroy(error));
  child.once("close", (code) => {
    const detail = complaint.trim() === "" ? "" : `: ${complaint.trim()}`;
    pipe.destroy(code === 0 ? undefined : new Error(`command "${program}" exited with ${code}${detail}`));
  });
  pipe.once("close", () => child.kill());
  return pipe;
}

function reason(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT") return "no such file or directory";
  if (code === "ECONNREFUSED") return "connection refused";
  if (code === "EACCES") return "permission denied";
  if (error instanceof Error && error.name === "TimeoutError") return "context deadline exceeded";
  return error instanceof Error ? error.message : String(error);
}
