import { BuildError } from "@buildkit-ts/errdefs";

/** Caches of one branch, and what a token allows with them. */
export interface TokenScope {
  readonly scope: string;
  readonly canWrite: boolean;
}

const write = 2;

/**
 * The scopes that a token of GitHub's cache service is for. Its signature is for the service to check.
 *
 * @throws {BuildError} `invalid_argument`, for what is no token; `unauthenticated`, for one that is not valid now.
 */
export function readTokenScopes(token: string, now: number): readonly TokenScope[] {
  const claims = readClaims(token);
  const { ac, exp, nbf } = claims as Readonly<Partial<Record<"ac" | "exp" | "nbf", unknown>>>;
  if (ac === undefined) throw invalid("invalid token without access controls");
  if (typeof ac !== "string") throw invalid("invalid token with access controls type");
  if (typeof exp !== "number" || typeof nbf !== "number") throw invalid("invalid token without expiration time");
  if (now > exp * 1000) throw new BuildError("unauthenticated", `cache token expired at ${formatSeconds(exp)}`);
  if (now < nbf * 1000)
    throw new BuildError("unauthenticated", `invalid token with future issue time time ${formatSeconds(nbf)}`);
  return parseScopes(ac);
}

function readClaims(token: string): object {
  const parts = token.split(".");
  if (parts.length !== 3) throw invalid("token contains an invalid number of segments");
  return parseObject(Buffer.from(parts[1] ?? "", "base64url").toString("utf8"));
}

function parseScopes(text: string): readonly TokenScope[] {
  const list = parseObject(text);
  if (!Array.isArray(list)) throw invalid("failed to parse token access controls");
  return list.map((item: unknown) => {
    const fields = (item ?? {}) as Readonly<Partial<Record<"Scope" | "Permission", unknown>>>;
    const { Scope: scope, Permission: permission } = fields;
    if (typeof scope !== "string" || typeof permission !== "number")
      throw invalid("failed to parse token access controls");
    return { scope, canWrite: (permission & write) !== 0 };
  });
}

function parseObject(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // The text of the error would have a piece of the token.
    throw invalid("token is malformed");
  }
  throw invalid("token is malformed");
}

function formatSeconds(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? "an invalid time" : date.toISOString();
}

function invalid(message: string): BuildError {
  return new BuildError("invalid_argument", message);
}
