import { chmod, chown } from "node:fs/promises";
import { dirname } from "node:path";
import type { Mount } from "@buildkit-ts/mount";
import { type AgentSocket, openAgentSocket } from "@buildkit-ts/session";
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
  const socket = await findAgent(access, options);
  if (socket === undefined) return undefined;
  await using stack = new AsyncDisposableStack();
  stack.use(socket);
  await chmod(dirname(socket.path), 0o711);
  await chown(socket.path, options.uid, options.gid);
  await chmod(socket.path, options.mode & 0o777);
  const held = stack.move();
  return {
    mounts: [{ type: "bind", source: socket.path, options: ["rbind"] }],
    [Symbol.asyncDispose]: async () => await held.disposeAsync(),
  };
}

async function findAgent(access: SessionAccess, options: SshSocketOptions): Promise<AgentSocket | undefined> {
  const { signal } = access;
  return await withAnySession(access, async (caller) => {
    try {
      return await openAgentSocket(caller, { id: options.id, directory: options.directory, signal });
    } catch (error) {
      signal.throwIfAborted();
      if (options.optional) return undefined;
      throw error;
    }
  });
}
