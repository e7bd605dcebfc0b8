import { chmod, chown, mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { sshpb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Mount } from "@buildkit-ts/mount";
import type { SessionCaller } from "@buildkit-ts/session";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { type SessionAccess, withAnySession } from "../any-session.ts";

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
      await createClient(sshpb.SSH, caller.transport).checkAgent({ ID: options.id }, { signal: access.signal });
      return caller;
    } catch (error) {
      access.signal.throwIfAborted();
      if (options.optional) return undefined;
      if (error instanceof ConnectError && error.code === Code.Unimplemented) {
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

/** Carries one connection's bytes both ways. */
async function forward(
  socket: Socket,
  caller: SessionCaller,
  options: { readonly id: string; readonly signal: AbortSignal },
): Promise<void> {
  socket.on("error", () => undefined);
  const client = createClient(sshpb.SSH, caller.transport);
  const answers = client.forwardAgent(requests(socket), {
    signal: AbortSignal.any([options.signal, caller.closed]),
    headers: { "buildkit.ssh.id": options.id },
  });
  try {
    for await (const { data } of answers) {
      if (!socket.write(data)) await drained(socket);
    }
  } finally {
    socket.end();
    socket.destroySoon();
  }
}

async function drained(socket: Socket): Promise<void> {
  await new Promise<void>((resolve) => {
    socket.once("drain", resolve);
    socket.once("close", resolve);
  });
}

async function* requests(socket: Socket): AsyncGenerator<{ data: Uint8Array }, void, undefined> {
  for await (const data of socket as AsyncIterable<Buffer>) yield { data };
}
