import { BuildError } from "@buildkit-ts/errdefs";
import { getSecret, type SessionManager } from "@buildkit-ts/session";
import { withAnySession } from "../any-session.ts";
import type { SourceContext } from "../source.ts";
import type { GitCommandOptions } from "./git-command.ts";
import type { GitIdentifier } from "./git-identifier.ts";

/**
 * The header for a remote, from the first of the secrets that a client has, those for the host first, and else from
 * the remote's own URL.
 */
export async function findAuthorization(
  id: GitIdentifier,
  sessions: SessionManager,
  context: SourceContext,
): Promise<GitCommandOptions["authorization"]> {
  const { remote, userInfo, authHeaderSecret, authTokenSecret } = id;
  if (!/^https?:/i.test(remote)) return undefined;
  const { host, origin } = new URL(remote);
  const candidates = [`.${host}`, ""].flatMap((suffix) => [
    ...(authHeaderSecret === "" ? [] : [{ name: `${authHeaderSecret}${suffix}`, isToken: false }]),
    ...(authTokenSecret === "" ? [] : [{ name: `${authTokenSecret}${suffix}`, isToken: true }]),
  ]);
  for (const { name, isToken } of candidates) {
    const secret = await findSecret(name, sessions, context);
    if (secret === undefined) continue;
    const value = isToken ? `basic ${Buffer.from(`x-access-token:${secret}`).toString("base64")}` : secret;
    return { scope: scopeOf(remote), value };
  }
  // Relative URLs of submodules would inherit what the URL says, so this is for all of the host.
  return userInfo === "" ? undefined : { scope: `${origin}/`, value: basicOf(userInfo) };
}

function basicOf(userInfo: string): string {
  const colon = userInfo.indexOf(":");
  const [user, password] = colon < 0 ? [userInfo, ""] : [userInfo.slice(0, colon), userInfo.slice(colon + 1)];
  return `basic ${Buffer.from(`${unescape(user)}:${unescape(password)}`).toString("base64")}`;
}

/** As curl reads it: what is not an escape stands for itself. */
function unescape(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Submodules of github.com are nearly always there too, and take the same token. */
function scopeOf(remote: string): string {
  return /^https:\/\/(?:www\.)?github\.com\//.exec(remote)?.[0] ?? remote;
}

async function findSecret(id: string, sessions: SessionManager, context: SourceContext): Promise<string | undefined> {
  const { signal } = context;
  try {
    return await withAnySession(sessions, context.sessions(), {
      signal,
      work: async (caller) => Buffer.from(await getSecret(caller, id, { signal })).toString("utf8"),
    });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof BuildError && error.code === "not_found") return undefined;
    throw error;
  }
}
