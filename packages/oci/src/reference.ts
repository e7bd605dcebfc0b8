import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, isDigest } from "./digest.ts";

/** An image's name, fully qualified: `docker.io/library/busybox:latest`. */
export interface Reference {
  /** Registry host with port, such as `docker.io` or `localhost:5000`. */
  readonly domain: string;
  /** Repository path, such as `library/busybox`. */
  readonly path: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const component = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const pathPattern = new RegExp(`^${component}(?:/${component})*$`);
const domainPattern =
  /^(?:\[[0-9a-fA-F:]+\]|(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*)(?::[0-9]+)?$/;
const tagPattern = /^[\w][\w.-]{0,127}$/;

/**
 * Reads a name as `docker pull` does: no domain means `docker.io`, one path component there means `library/…`.
 *
 * A missing tag stays missing; see {@linkcode withDefaultTag}.
 *
 * @throws {BuildError} `invalid_argument` with distribution's text `invalid reference format`.
 */
export function parseReference(name: string): Reference {
  const { name: named, digest } = splitAtDigest(name);
  const { domain, rest } = splitDomain(named);
  const colon = rest.lastIndexOf(":");
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  const given = colon < 0 ? rest : rest.slice(0, colon);
  const path = domain === "docker.io" && !given.includes("/") ? `library/${given}` : given;
  if (path.toLowerCase() !== path && pathPattern.test(path.toLowerCase()))
    throw invalid(name, `repository name (${path.slice(0, 255)}) must be lowercase`);
  const isValid = pathPattern.test(path) && path.length <= 255 && domainPattern.test(domain);
  if (!isValid || (tag !== undefined && !tagPattern.test(tag))) throw invalid(name);
  return {
    domain,
    path,
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
  };
}

function splitAtDigest(text: string): { readonly name: string; readonly digest?: Digest } {
  const at = text.indexOf("@");
  if (at < 0) return { name: text };
  const digest = text.slice(at + 1);
  if (!isDigest(digest)) throw invalid(text);
  return { name: text.slice(0, at), digest };
}

/** What stands before the first slash is a domain if it looks like one: a dot, a port, `localhost`, or upper case. */
function splitDomain(name: string): { readonly domain: string; readonly rest: string } {
  const slash = name.indexOf("/");
  const first = name.slice(0, Math.max(0, slash));
  const isDomain = /[.:]/.test(first) || first === "localhost" || first.toLowerCase() !== first;
  if (slash < 0 || !isDomain) return { domain: "docker.io", rest: name };
  return { domain: first === "index.docker.io" ? "docker.io" : first, rest: name.slice(slash + 1) };
}

function invalid(name: string, why?: string): BuildError {
  return new BuildError(
    "invalid_argument",
    `failed to parse reference "${name.slice(0, 300)}": invalid reference format${why === undefined ? "" : `: ${why}`}`,
  );
}

/** Adds `:latest` where the name has neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: "latest" } : reference;
}

/** The fully qualified spelling, `domain/path[:tag][@digest]`. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${reference.domain}/${reference.path}${tag}${digest}`;
}

/** The short spelling that people write: without `docker.io/` and `library/`. */
export function formatFamiliar(reference: Reference): string {
  const full = formatReference(reference);
  return full.startsWith("docker.io/") ? full.slice("docker.io/".length).replace(/^library\/(?=[^/]+$)/, "") : full;
}
