import { BuildError, type Code } from "@buildkit-ts/errdefs";
import { connectionFailure } from "@buildkit-ts/proxies";

const codes: ReadonlyMap<number, Code> = new Map([
  [400, "invalid_argument"],
  [401, "unauthenticated"],
  [403, "permission_denied"],
  [404, "not_found"],
  [408, "unavailable"],
  [409, "aborted"],
  [412, "aborted"],
  [413, "resource_exhausted"],
  [429, "resource_exhausted"],
  [507, "resource_exhausted"],
]);

const maxTextLength = 1000;

/**
 * The failure of a request to a store, as its users may see it.
 *
 * What libraries throw has requests with it, whose headers and URLs are credentials: neither it nor its texts get
 * further than here. Failures that are ours already stay what they are.
 *
 * @param action Such as `read object "blobs/…"`.
 */
export function storeError(
  thrown: unknown,
  action: string,
  options: { readonly signal: AbortSignal; readonly secrets: readonly string[] },
): Error {
  // Libraries have errors of their own for what was aborted; the reason says why.
  if (options.signal.aborted) return toError(options.signal.reason);
  const own = findBuildError(thrown);
  if (own !== undefined) return own;
  const status = statusOf(thrown);
  const text = withoutSecrets(textOf(thrown), options.secrets);
  // The original is no cause: it would be logged with all that it has.
  return new BuildError(codeOf(status, thrown), `Cannot ${action}: ${text}`);
}

/** The HTTP status that a library's error stands for; undefined, where there was no answer. */
export function statusOf(thrown: unknown): number | undefined {
  const { $metadata, statusCode } = (thrown ?? {}) as {
    readonly $metadata?: { readonly httpStatusCode?: unknown };
    readonly statusCode?: unknown;
  };
  const status = $metadata?.httpStatusCode ?? statusCode;
  return typeof status === "number" ? status : undefined;
}

/** Whether a library's error says this, by its name or code. */
export function isNamed(thrown: unknown, ...names: readonly string[]): boolean {
  const { name, code } = (thrown ?? {}) as { readonly name?: unknown; readonly code?: unknown };
  return names.some((one) => one === name || one === code);
}

function codeOf(status: number | undefined, thrown: unknown): Code {
  if (status !== undefined) return codes.get(status) ?? (status >= 500 ? "unavailable" : "unknown");
  // A key that cannot be had, or attributes that make no request, are not a matter of time.
  if (isNamed(thrown, "CredentialsProviderError", "CredentialUnavailableError", "AggregateAuthenticationError"))
    return "unauthenticated";
  return "unavailable";
}

function textOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return "unknown failure";
  const { name, code } = thrown as Error & { readonly code?: unknown };
  // Azure adds lines with the ids of requests; an answer to HEAD has no text at all.
  const [line = ""] = thrown.message.split("\n");
  const [, host = ""] = /^getaddrinfo ENOTFOUND (\S+)$/.exec(line) ?? [];
  if (host !== "") return connectionFailure(thrown, host);
  const kind = typeof code === "string" ? code : name;
  const inner = thrown instanceof AggregateError ? thrown.errors.map(textOf).slice(0, 3).join("; ") : "";
  const parts = [kind === "Error" || line.includes(kind) ? "" : kind, line, inner].filter((part) => part !== "");
  return parts.length === 0 ? kind : parts.join(": ");
}

/** Without credentials and the queries of URLs, which are signatures. */
function withoutSecrets(text: string, secrets: readonly string[]): string {
  let clean = text.replaceAll(/(https?:\/\/[^\s?"'<>]*)\?[^\s"'<>]*/g, "$1?REDACTED");
  for (const secret of secrets) if (secret !== "") clean = clean.replaceAll(secret, "xxxxx");
  return clean.slice(0, maxTextLength);
}

function findBuildError(thrown: unknown): BuildError | undefined {
  let at = thrown;
  for (let depth = 0; at instanceof Error && depth < 5; at = at.cause, depth += 1)
    if (at instanceof BuildError) return at;
  return undefined;
}

function toError(reason: unknown): Error {
  return reason instanceof Error ? reason : new BuildError("canceled", String(reason));
}
