/** Which of Node's codes say that nobody trusted has signed a certificate. */
const unknownAuthority = new Set([
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
]);

const refusals: ReadonlyMap<string, string> = new Map([
  ["ECONNREFUSED", "connect: connection refused"],
  ["EHOSTUNREACH", "connect: no route to host"],
  ["ENETUNREACH", "connect: network is unreachable"],
  ["ETIMEDOUT", "i/o timeout"],
  ["UND_ERR_CONNECT_TIMEOUT", "i/o timeout"],
]);

interface SystemFailure extends Error {
  readonly code?: unknown;
  readonly address?: unknown;
  readonly port?: unknown;
  /** Of the certificate that names somebody else. */
  readonly cert?: { readonly subjectaltname?: unknown };
}

/**
 * Why a server was not reached, in the words of Go's programs where those are known: users look them up, and clients look
 * for them. What Node says of its own switches helps nobody who runs a daemon.
 *
 * @param host The name or address that was asked for, with or without a port.
 */
export function connectionFailure(error: unknown, host: string): string {
  if (!(error instanceof Error)) return String(error);
  for (const failure of failuresOf(error)) {
    const text = textOf(failure, host.replace(/:\d+$/, ""));
    if (text !== undefined) return text;
  }
  return error.message || error.name;
}

/** An error, what caused it, and of several addresses that were tried each one. */
function failuresOf(error: Error): SystemFailure[] {
  const failures: SystemFailure[] = [];
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth += 1) {
    failures.push(at);
    if (at instanceof AggregateError) failures.push(...at.errors.filter((each) => each instanceof Error).slice(0, 8));
  }
  return failures;
}

function textOf(failure: SystemFailure, host: string): string | undefined {
  const code = typeof failure.code === "string" ? failure.code : "";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return `dial tcp: lookup ${host}: no such host`;
  const refusal = refusals.get(code);
  if (refusal !== undefined) {
    const { address, port } = failure;
    const at = typeof address === "string" && typeof port === "number" ? `${inBrackets(address)}:${port}` : host;
    return `dial tcp ${at}: ${refusal}`;
  }
  const certificate = certificateFailure(failure, { code, host });
  return certificate === undefined ? undefined : `tls: failed to verify certificate: x509: ${certificate}`;
}

function certificateFailure(
  failure: SystemFailure,
  { code, host }: { code: string; host: string },
): string | undefined {
  if (unknownAuthority.has(code)) return "certificate signed by unknown authority";
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID")
    return "certificate has expired or is not yet valid";
  if (code !== "ERR_TLS_CERT_ALTNAME_INVALID") return undefined;
  const { subjectaltname } = failure.cert ?? {};
  const names = typeof subjectaltname === "string" ? subjectaltname.replaceAll(/(?:DNS|IP Address):/g, "") : "";
  return names === ""
    ? `certificate is not valid for any names, but wanted to match ${host}`
    : `certificate is valid for ${names.slice(0, 500)}, not ${host}`;
}

function inBrackets(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}
