import { BuildError } from "@buildkit-ts/errdefs";
import { formatGoJson } from "@buildkit-ts/gotext";
import { type Digest, digestOf, parseDigest } from "@buildkit-ts/oci";
import type { SourceRequest } from "../source.ts";
import { parseIntegerAttribute } from "../source-attributes.ts";
import type { FileSignature } from "./verify-file.ts";

/** One `http://` or `https://` source: a URL and the file that it becomes. */
export interface HttpIdentifier {
  readonly url: string;
  readonly checksum: Digest | undefined;
  /** Name of the file; empty: what the server or the URL says. */
  readonly fileName: string;
  /** Permission bits; 0: the default. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Id of the secret that is the `Authorization` header; empty for the usual ones. */
  readonly authHeaderSecret: string;
  /** Headers of the user, sorted by name. */
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  readonly signature: FileSignature | undefined;
}

const userHeaders: Readonly<Record<string, string>> = {
  "http.header.accept": "Accept",
  "http.header.user-agent": "User-Agent",
};

/** @throws {BuildError} `invalid_argument`, naming the attribute. */
export function parseHttpIdentifier(request: SourceRequest): HttpIdentifier {
  const { attributes, identifier } = request;
  if (!URL.canParse(identifier))
    throw new BuildError("invalid_argument", `Cannot parse URL "${identifier.slice(0, 200)}"`);
  const headers = Object.entries(attributes).flatMap(([key, value]) => {
    const name = userHeaders[key.toLowerCase()];
    return name === undefined ? [] : [{ name, value }];
  });
  const checksum = attributes["http.checksum"];
  return {
    url: identifier,
    checksum: checksum === undefined ? undefined : parseDigest(checksum),
    fileName: attributes["http.filename"] ?? "",
    mode: parseIntegerAttribute("http.perm", attributes["http.perm"]) & 0o7777,
    uid: parseIntegerAttribute("http.uid", attributes["http.uid"]),
    gid: parseIntegerAttribute("http.gid", attributes["http.gid"]),
    authHeaderSecret: attributes["http.authheadersecret"] ?? "",
    headers: headers.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    signature: parseSignature(attributes),
  };
}

function parseSignature(attributes: SourceRequest["attributes"]): FileSignature | undefined {
  const publicKey = attributes["http.sig.pubkey"] ?? "";
  const signature = attributes["http.sig.signature"] ?? "";
  if ((publicKey === "") !== (signature === ""))
    throw new BuildError("invalid_argument", "http signature verification requires both pubkey and signature");
  return publicKey === "" ? undefined : { publicKey, signature };
}

/** Under which name the state of earlier requests is kept. */
export function requestDigest(id: HttpIdentifier): Digest {
  const { url, fileName, mode, uid, gid, authHeaderSecret, headers } = id;
  return digestOf(JSON.stringify([url, fileName, mode, uid, gid, authHeaderSecret, headers]));
}

/** The cache key, in BuildKit's bytes (`source/http/source.go`). */
export function httpCacheKey(
  id: HttpIdentifier,
  found: { readonly fileName: string; readonly digest: Digest; readonly lastModified: string | undefined },
): Digest {
  const time = found.lastModified === undefined ? Number.NaN : Date.parse(found.lastModified);
  return digestOf(
    formatGoJson({
      Filename: found.fileName,
      Perm: id.mode,
      UID: id.uid,
      GID: id.gid,
      Checksum: found.digest,
      ...(!Number.isNaN(time) && { LastModTime: new Date(time).toUTCString() }),
      ...(id.authHeaderSecret !== "" && { AuthHeaderSecret: id.authHeaderSecret }),
      ...(id.headers.length > 0 && { Header: id.headers.map(({ name, value }) => ({ Name: name, Value: value })) }),
    }),
  );
}

/** The name of the downloaded file: the user's, the server's, or the URL's last component. */
export function downloadName(id: HttpIdentifier, contentDisposition: string | undefined): string {
  if (id.fileName !== "") return safeFileName(id.fileName);
  const stated = contentDisposition === undefined ? "" : dispositionName(contentDisposition);
  if (stated !== "" && !stated.endsWith("/")) return safeFileName(stated);
  return safeFileName(unescapePercent(new URL(id.url).pathname));
}

function dispositionName(header: string): string {
  const extended = /;\s*filename\*\s*=\s*utf-8''([^;\s]+)/i.exec(header)?.[1];
  if (extended !== undefined) return unescapePercent(extended);
  const [, quoted, plain] = /;\s*filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))/i.exec(header) ?? [];
  return quoted?.replace(/\\(.)/g, "$1") ?? plain ?? "";
}

/** The text behind percent escapes; a text with malformed ones as it is. */
export function unescapePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What file systems take. */
const maxNameBytes = 255;

/** The last component of a path, if it can name a file; else `download`. */
export function safeFileName(text: string): string {
  const name = text.trim().replace(/\/+$/, "").split("/").at(-1) ?? "";
  const isUnsafe =
    name === "" || name === "." || name === ".." || /\p{Cc}/u.test(name) || Buffer.byteLength(name) > maxNameBytes;
  return isUnsafe ? "download" : name;
}
