import { chmod, mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { SSH } from "@buildkit-ts/api/buildkit/ssh";
import { BuildError } from "@buildkit-ts/errdefs";
import type { SessionCaller } from "./session.ts";
import { GrpcByteStream } from "./wire/byte-stream.ts";
import { callUnary, methodPath } from "./wire/rpc-client.ts";

/** A socket file behind which a client's SSH agent answers, until disposal. */
export interface AgentSocket extends AsyncDisposable {
  readonly path: string;
}

/** Which agent of a client, and where its socket is made. */
export interface AgentSocketOptions {
  /** Empty for the default one. */
  readonly id: string;
  /** A directory of its own is made below it. */
  readonly directory: string;
  readonly signal: AbortSignal;
}

/**
 * Makes a socket for an agent that the client forwards. It belongs to the caller's user with mode 0600.
 *
 * @throws {BuildError} `not_found`, `no SSH key "…" forwarded from the client`, or what the client says of the id.
 */
export async function openAgentSocket(caller: SessionCaller, options: AgentSocketOptions): Promise<AgentSocket> {
  await checkAgent(caller, options);
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(options.directory, "ssh-"));
  stack.defer(async () => await rm(directory, { recursive: true, force: true }));
  const path = join(directory, "ssh_auth_sock");
  const connections = new AbortController();
  const server = createServer((socket) => {
    const id = options.id === "" ? "default" : options.id;
    forward(socket, caller, { id, signal: connections.signal }).catch(() => socket.destroy());
  });
  await listen(server, path);
  stack.defer(async () => {
    connections.abort(new DOMException("The agent is needed no more", "AbortError"));
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  await chmod(path, 0o600);
  const held = stack.move();
  return { path, [Symbol.asyncDispose]: async () => await held.disposeAsync() };
}

async function checkAgent(caller: SessionCaller, { id, signal }: AgentSocketOptions): Promise<void> {
  try {
    const call = { method: SSH.method.checkAgent, request: { ID: id } };
    await callUnary(caller.http2, call, { signal: AbortSignal.any([signal, caller.closed]) });
  } catch (error) {
    signal.throwIfAborted();
    if (BuildError.from(error).code !== "unimplemented") throw error;
    throw new BuildError("not_found", `no SSH key "${id}" forwarded from the client`, {
      cause: error,
      hint: "Forward an agent or key, such as with --ssh default",
    });
  }
}

async function listen(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Carries one connection's bytes both ways until either side ends. */
async function forward(
  socket: Socket,
  caller: SessionCaller,
  options: { readonly id: string; readonly signal: AbortSignal },
): Promise<void> {
  const path = methodPath(SSH.method.forwardAgent);
  const agent = new GrpcByteStream(caller.openStream(path, { "buildkit.ssh.id": options.id }));
  const signal = AbortSignal.any([options.signal, caller.closed]);
  await pipeline(socket, agent, socket, { signal });
}
