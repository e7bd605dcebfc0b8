import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openAgentSocket, type SessionManager } from "@buildkit-ts/session";
import { withAnySession } from "../any-session.ts";
import type { SourceContext } from "../source.ts";
import { findAuthorization } from "./git-authorization.ts";
import { GitCommand } from "./git-command.ts";
import type { GitIdentifier } from "./git-identifier.ts";

/** Git with all that a client gives for a remote: secrets, its agent, the keys of servers. */
export interface GitAccess extends AsyncDisposable {
  readonly git: GitCommand;
  /** A private directory that goes with it. */
  readonly directory: string;
}

/** @throws {BuildError} `not_found`, for an agent that no client forwards. */
export async function openGitAccess(
  id: GitIdentifier,
  sessions: SessionManager,
  context: SourceContext,
): Promise<GitAccess> {
  await using stack = new AsyncDisposableStack();
  const authorization = await findAuthorization(id, sessions, context);
  const directory = await mkdtemp(join(tmpdir(), "buildkit-git-"));
  stack.defer(async () => await rm(directory, { recursive: true, force: true }));
  const agentSocket = await openAgent(id, sessions, { context, directory, stack });
  const knownHostsFile = id.knownSshHosts === "" ? undefined : join(directory, "known_hosts");
  if (knownHostsFile !== undefined) await writeFile(knownHostsFile, id.knownSshHosts, { mode: 0o600 });
  const git = new GitCommand({
    progress: context.progress,
    ...(authorization !== undefined && { authorization }),
    ...(agentSocket !== undefined && { agentSocket }),
    ...(knownHostsFile !== undefined && { knownHostsFile }),
  });
  const held = stack.move();
  return { git, directory, [Symbol.asyncDispose]: async () => await held.disposeAsync() };
}

async function openAgent(
  id: GitIdentifier,
  sessions: SessionManager,
  work: { readonly context: SourceContext; readonly directory: string; readonly stack: AsyncDisposableStack },
): Promise<string | undefined> {
  if (id.sshAgent === "" || /^https?:/i.test(id.remote)) return undefined;
  const { signal } = work.context;
  const socket = await withAnySession(sessions, work.context.sessions(), {
    signal,
    work: async (caller) => await openAgentSocket(caller, { id: id.sshAgent, directory: work.directory, signal }),
  });
  work.stack.use(socket);
  return socket.path;
}
