import type { opspb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import { getSecret } from "@buildkit-ts/session";
import { type SessionAccess, withAnySession } from "../any-session.ts";
import { invalid } from "../definition/validate-op.ts";

/**
 * The value of a secret that a client holds; undefined if none has it and it is optional.
 *
 * @throws {BuildError} `not_found`, `secret <id>: not found`.
 */
export async function fetchSecret(
  access: SessionAccess,
  secret: { readonly id: string; readonly optional: boolean },
): Promise<Uint8Array | undefined> {
  const { signal } = access;
  try {
    return await withAnySession(access, async (caller) => await getSecret(caller, secret.id, { signal }));
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof BuildError) || error.code !== "not_found") throw error;
    // A session that ended is "not found" too; only the client's own answer makes an optional secret absent.
    const isMissing = error.message === `secret ${secret.id}: not found`;
    if (isMissing && secret.optional) return undefined;
    throw new BuildError("not_found", error.message, {
      cause: error,
      ...(isMissing && { hint: `Give it to the build, such as with --secret id=${secret.id},src=…` }),
    });
  }
}

/** Environment variables whose values clients hold. An optional one that none has is set, and empty. */
export async function loadSecretEnv(access: SessionAccess, variables: readonly opspb.SecretEnv[]): Promise<string[]> {
  const env: string[] = [];
  for (const { ID: id, name, optional } of variables) {
    if (id === "") throw invalid(`secret ID missing for ${JSON.stringify(name)} environment variable`);
    const data = await fetchSecret(access, { id, optional });
    env.push(`${name}=${Buffer.from(data ?? []).toString("utf8")}`);
  }
  return env;
}
