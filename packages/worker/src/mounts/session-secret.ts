import { secretspb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { type SessionAccess, withAnySession } from "../any-session.ts";

/**
 * The value of a secret that a client holds; undefined if none has it and it is optional.
 *
 * @throws {BuildError} `not_found`, `secret <id>: not found`.
 */
export async function fetchSecret(
  access: SessionAccess,
  secret: { readonly id: string; readonly optional: boolean },
): Promise<Uint8Array | undefined> {
  try {
    return await withAnySession(access, async ({ transport }) => {
      const client = createClient(secretspb.Secrets, transport);
      return (await client.getSecret({ ID: secret.id }, { signal: access.signal })).data;
    });
  } catch (error) {
    access.signal.throwIfAborted();
    if (!isMissing(error)) throw error;
    if (secret.optional) return undefined;
    throw new BuildError("not_found", `secret ${secret.id}: not found`, {
      cause: error,
      hint: `Give it to the build, such as with --secret id=${secret.id},src=…`,
    });
  }
}

/** Clients without secrets do not serve the service at all. */
function isMissing(error: unknown): boolean {
  if (error instanceof BuildError) return error.code === "unimplemented";
  const { code } = ConnectError.from(error);
  return error instanceof ConnectError && (code === Code.NotFound || code === Code.Unimplemented);
}
