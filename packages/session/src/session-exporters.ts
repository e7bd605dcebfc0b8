import { Exporter } from "@buildkit-ts/api/buildkit/exporter";
import { BuildError } from "@buildkit-ts/errdefs";
import type { SessionCaller } from "./session.ts";
import { callUnary } from "./wire/rpc-client.ts";

/** An export that a client asks for when it sees what was built. */
export interface SessionExport {
  readonly type: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/**
 * What the client wants of a result (`Exporter.FindExporters`); nothing where it does not say.
 *
 * @param result.refs Ids by which the client can ask the build's gateway for files.
 */
export async function findSessionExporters(
  caller: SessionCaller,
  result: { readonly metadata: Readonly<Record<string, Uint8Array>>; readonly refs: readonly string[] },
  options: { readonly signal: AbortSignal },
): Promise<readonly SessionExport[]> {
  const request = { metadata: { ...result.metadata }, refs: [...result.refs] };
  const signal = AbortSignal.any([options.signal, caller.closed]);
  try {
    const call = { method: Exporter.method.findExporters, request };
    const { exporters } = await callUnary(caller.http2, call, { signal });
    return exporters.map(({ Type, Attrs }) => ({ type: Type, attributes: Attrs }));
  } catch (error) {
    if (isUninterested(error)) return [];
    throw error;
  }
}

/** Shows the client what the exports gave (`Exporter.FinalizeExport`); its failure is the build's. */
export async function finalizeSessionExport(
  caller: SessionCaller,
  response: Readonly<Record<string, string>>,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const signal = AbortSignal.any([options.signal, caller.closed]);
  try {
    const call = { method: Exporter.method.finalizeExport, request: { exporterResponse: { ...response } } };
    await callUnary(caller.http2, call, { signal });
  } catch (error) {
    if (!isUninterested(error)) throw error;
  }
}

/** The client has no such service, or nobody behind it. */
function isUninterested(error: unknown): boolean {
  return error instanceof BuildError && (error.code === "unimplemented" || error.code === "unavailable");
}
