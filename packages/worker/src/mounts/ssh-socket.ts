import { chmod, chown, mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { sshpb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Mount } from "@buildkit-ts/mount";
import { callUnary, GrpcByteStream, type SessionCaller } from "@buildkit-ts/session";
import { type SessionAccess, withAnySession } from "../any-session.ts";

const forwardMethod = `/${sshpb.SSH.typeName}/ForwardAgent`;

/** Who may use the socket in the container. */
export interface SshSocketOptions {
  readonly id: string;
  readonly optional: boolean;
  readonly directory: string;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/**
 * A mount of a socket behind which a client's SSH agent answers; undefined if none offers it and it is optional.
 *
 * @throws {BuildError} `not_found`, `no SSH key "…" forwarded from the client`.
 */
export async function createSshSocket(
  access: SessionAccess,
  options: SshSocketOptions,
): Promise<({ readonly mounts: readonly Mount[] } & AsyncDisposable) | undefined> {
  const caller = await findAgent(access, options);
  if (caller === undefined) return undefined;
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(options.directory, "ssh-"));
  stack.defer(async () => await rm(directory, { recursive: true, force: true }));
  await chmod(directory, 0o711);
  const path = join(directory, "ssh_auth_sock");
  const connections = new AbortController();
  const server = createServer((socket) => {
    const id = options.id === "" ? "default" : options.id;
    forward(socket, caller, { id, signal: connections.signal }).catch(() => socket.destroy());
  });
  await listen(server, path);
  stack.defer(async () => {
    connections.abort(new DOMException("The step has ended", "AbortError"));
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  await chown(path, options.uid, options.gid);
  await chmod(path, options.mode & 0o777);
  const held = stack.move();
  return {
    mounts: [{ type: "bind", source: path, options: ["rbind"] }],
    [Symbol.asyncDispose]: async () => await held.disposeAsync(),
  };
}

async function findAgent(access: SessionAccess, options: SshSocketOptions): Promise<SessionCaller | undefined> {
  return await withAnySession(access, async (caller) => {
    try {
      const call = { method: sshpb.SSH.method.checkAgent, request: { ID: options.id } };
      await callUnary(caller.http2, call, { signal: AbortSignal.any([access.signal, caller.closed]) });
      return caller;
    } catch (error) {
      access.signal.throwIfAborted();
      if (options.optional) return undefined;
      if (BuildError.from(error).code === "unimplemented") {
        throw new BuildError("not_found", `no SSH key "${options.id}" forwarded from the client`, {
          cause: error,
          hint: "Forward an agent or key, such as with --ssh default",
        });
      }
      throw error;
    }
  });
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
  const agent = new GrpcByteStream(caller.openStream(forwardMethod, { "buildkit.ssh.id": options.id }));
  const signal = AbortSignal.any([options.signal, caller.closed]);
  await pipeline(socket, agent, socket, { signal });
}
