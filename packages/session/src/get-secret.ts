import { Secrets } from "@buildkit-ts/api/buildkit/secrets";
import { BuildError } from "@buildkit-ts/errdefs";
import type { SessionCaller } from "./session.ts";
import { callUnary } from "./wire/rpc-client.ts";

/**
 * A secret of one client. The bytes are never to be logged, stored or put into a key.
 *
 * @throws {BuildError} `not_found`, if the client has no such secret or serves none.
 */
export async function getSecret(
  caller: SessionCaller,
  id: string,
  options: { readonly signal: AbortSignal },
): Promise<Uint8Array> {
  const signal = AbortSignal.any([options.signal, caller.closed]);
  try {
    const call = { method: Secrets.method.getSecret, request: { ID: id } };
    const { data } = await callUnary(caller.http2, call, { signal });
    return data;
  } catch (error) {
    if (!(error instanceof BuildError) || (error.code !== "unimplemented" && error.code !== "not_found")) throw error;
    throw new BuildError("not_found", `secret ${id}: not found`, { cause: error });
  }
}
