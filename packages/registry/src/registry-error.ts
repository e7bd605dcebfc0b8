import { BuildError, type Code } from "@buildkit-ts/errdefs";

/** An answer of a registry that the caller cannot use. */
export class RegistryStatusError extends BuildError {
  readonly statusCode: number;

  constructor(statusCode: number, message: string, code: Code) {
    super(code, message);
    this.statusCode = statusCode;
  }
}

const codes: ReadonlyMap<number, Code> = new Map([
  [400, "invalid_argument"],
  [401, "unauthenticated"],
  [403, "permission_denied"],
  [404, "not_found"],
  [405, "unimplemented"],
  [408, "unavailable"],
  [409, "aborted"],
  [413, "resource_exhausted"],
  [416, "out_of_range"],
  [429, "resource_exhausted"],
]);

/** containerd's text for a status, with the messages that the registry gave. */
export function statusError(
  answer: {
    readonly method: string;
    readonly url: string;
    readonly statusCode: number;
    readonly statusText: string;
  },
  body: Uint8Array,
): RegistryStatusError {
  const { method, url, statusCode, statusText } = answer;
  const status = `${statusCode} ${statusText}`.trim();
  const messages = registryMessages(body);
  const text = [`unexpected status from ${method} request to ${redactUrl(url)}: ${status}`, ...messages].join("\n");
  return new RegistryStatusError(
    statusCode,
    text,
    codes.get(statusCode) ?? (statusCode >= 500 ? "unavailable" : "unknown"),
  );
}

/** The `errors` of an answer's body (OCI distribution spec, "Error Codes"), clipped: the registry may write anything. */
function registryMessages(body: Uint8Array): string[] {
  const parsed = parseJson(body);
  if (typeof parsed !== "object" || parsed === null || !("errors" in parsed) || !Array.isArray(parsed.errors))
    return [];
  return (parsed.errors as unknown[]).slice(0, 10).flatMap((error) => {
    if (typeof error !== "object" || error === null) return [];
    const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
    const name = typeof code === "string" ? code.toLowerCase().replaceAll("_", " ") : "unknown";
    return [`${name}: ${typeof message === "string" ? message : ""}`.slice(0, 500).replaceAll(/\p{Cc}/gu, " ")];
  });
}

/** Undefined for what is no JSON. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** A URL without what may be secret: user, password, and the values of its query but the namespace. */
export function redactUrl(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null) return "(invalid URL)";
  if (parsed.username !== "" || parsed.password !== "") {
    parsed.username = "";
    parsed.password = "xxxxx";
  }
  for (const key of parsed.searchParams.keys()) {
    if (key !== "ns") parsed.searchParams.set(key, "REDACTED");
  }
  return parsed.href;
}
