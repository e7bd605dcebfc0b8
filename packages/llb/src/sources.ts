import { formatGoJson } from "@buildkit-ts/gotext";
import { type Digest, formatReference, parseReference, withDefaultTag } from "@buildkit-ts/oci";
import type { Constraints } from "./constraints.ts";
import { gitIdentifier, parseGitRemote } from "./git-url.ts";
import { SourceVertex } from "./source-op.ts";
import { State } from "./state.ts";
import { outputPlatform } from "./vertex.ts";

export interface ImageOptions extends Constraints {
  readonly resolveMode?: "default" | "pull" | "local";
  /** `internal` keeps the image out of the cache records shown to users. */
  readonly recordType?: string;
  readonly layerLimit?: number;
  readonly checksum?: Digest;
}

/** An image of a registry. @throws {BuildError} `invalid_argument` if the reference is malformed. */
export function image(ref: string, options: ImageOptions = {}): State {
  const attrs = new Map<string, string>();
  const caps = ["source.image"];
  if (options.resolveMode !== undefined && options.resolveMode !== "default") {
    attrs.set("image.resolvemode", options.resolveMode);
    // Only where ignoring it would use another image than the user asked for.
    if (options.resolveMode === "pull") caps.push("source.image.resolvemode");
  }
  if (options.recordType !== undefined) attrs.set("image.recordtype", options.recordType);
  if (options.layerLimit !== undefined) {
    attrs.set("image.layerlimit", String(options.layerLimit));
    caps.push("source.image.layerlimit");
  }
  if (options.checksum !== undefined) {
    attrs.set("image.checksum", options.checksum);
    caps.push("source.image.checksum");
  }
  const name = formatReference(withDefaultTag(parseReference(ref)));
  return source(`docker-image://${name}`, { attrs, caps, constraints: options });
}

export interface LocalOptions extends Constraints {
  readonly sessionId?: string;
  readonly includePatterns?: readonly string[];
  readonly excludePatterns?: readonly string[];
  readonly followPaths?: readonly string[];
  readonly sharedKeyHint?: string;
  readonly differ?: { readonly type: "none" | "metadata"; readonly required?: boolean };
  /** Transfers only the metadata of files, except of these. */
  readonly metadataOnly?: { readonly exceptions: readonly string[] };
}

/** A directory of the client. */
export function local(name: string, options: LocalOptions = {}): State {
  const attrs = new Map<string, string>();
  const caps = ["source.local"];
  const set = (key: string, value: string, cap: string | undefined): void => {
    if (value === "") return;
    attrs.set(key, value);
    if (cap !== undefined) caps.push(cap);
  };
  set("local.session", options.sessionId ?? "", "source.local.sessionid");
  set("local.includepattern", jsonList(options.includePatterns), "source.local.includepatterns");
  set("local.followpaths", jsonList(options.followPaths), "source.local.followpaths");
  set("local.excludepatterns", jsonList(options.excludePatterns), "source.local.excludepatterns");
  set("local.sharedkeyhint", options.sharedKeyHint ?? "", "source.local.sharedkeyhint");
  const { differ, metadataOnly } = options;
  if (differ !== undefined) set("local.differ", differ.type, differ.required ? "source.local.differ" : undefined);
  if (metadataOnly !== undefined) {
    set("local.metadatatransfer", "true", "source.local.metadatatransfer");
    set("local.metadatatransferexclude", jsonList(metadataOnly.exceptions), undefined);
  }
  return source(`local://${name}`, { attrs, caps, constraints: options });
}

function jsonList(items: readonly string[] | undefined): string {
  return items === undefined || items.length === 0 ? "" : formatGoJson(items);
}

export interface OciLayoutOptions extends Constraints {
  readonly sessionId?: string;
  readonly storeId?: string;
  readonly layerLimit?: number;
}

/** An image of an OCI layout that the client offers. */
export function ociLayout(ref: string, options: OciLayoutOptions = {}): State {
  const attrs = new Map<string, string>();
  if (options.sessionId) attrs.set("oci.session", options.sessionId);
  if (options.storeId) attrs.set("oci.store", options.storeId);
  if (options.layerLimit !== undefined) attrs.set("oci.layerlimit", String(options.layerLimit));
  return source(`oci-layout://${ref}`, { attrs, caps: ["source.ocilayout"], constraints: options });
}

export interface HttpOptions extends Constraints {
  readonly checksum?: Digest;
  readonly filename?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly authHeaderSecret?: string;
  readonly header?: { readonly accept?: string; readonly userAgent?: string };
  readonly signature?: { readonly publicKey?: string; readonly signature?: string };
}

/** A file from a web server. */
export function http(url: string, options: HttpOptions = {}): State {
  const attrs = new Map<string, string>();
  const caps = new Set(["source.http"]);
  const set = (key: string, value: string | undefined, cap?: string): void => {
    if (value === undefined || value === "") return;
    attrs.set(key, value);
    if (cap !== undefined) caps.add(cap);
  };
  const id = (n: number | undefined): string => (n === undefined || n === 0 ? "" : String(n));
  set("http.checksum", options.checksum, "source.http.checksum");
  set("http.filename", options.filename);
  set("http.perm", options.mode ? `0${(options.mode & 0o777).toString(8)}` : "", "source.http.perm");
  // The capability's name is misspelled on the wire.
  set("http.uid", id(options.uid), "soruce.http.uidgid");
  set("http.gid", id(options.gid), "soruce.http.uidgid");
  set("http.authheadersecret", options.authHeaderSecret, "source.http.auth");
  set("http.header.accept", options.header?.accept);
  set("http.header.user-agent", options.header?.userAgent);
  if (options.header !== undefined) caps.add("source.http.header");
  set("http.sig.pubkey", options.signature?.publicKey);
  set("http.sig.signature", options.signature?.signature);
  if (options.signature !== undefined) caps.add("source.http.signatureverify");
  return source(url, { attrs, caps: [...caps], constraints: options });
}

export interface GitOptions extends Constraints {
  readonly ref?: string;
  readonly subdir?: string;
  readonly keepGitDir?: boolean;
  /** `GIT_AUTH_TOKEN` by default; naming one requires a daemon that knows of it. */
  readonly authTokenSecret?: string;
  /** `GIT_AUTH_HEADER` by default. */
  readonly authHeaderSecret?: string;
  readonly knownSshHosts?: string;
  readonly mountSshSock?: string;
  readonly checksum?: string;
  readonly skipSubmodules?: boolean;
  readonly mtime?: "checkout" | "commit";
  readonly fetchByCommit?: boolean;
  /** Takes the history from a bundle instead of the remote: an `imageBlob`'s or `ociLayoutBlob`'s identifier. Needs `checksum`. */
  readonly bundle?: { readonly locator: string; readonly sessionId?: string; readonly storeId?: string };
  /** Gives one file, `bundle`, instead of a work tree. */
  readonly checkoutBundle?: boolean;
}

/** A checkout of a git repository. */
export function git(url: string, options: GitOptions = {}): State {
  const remote = parseGitRemote(url) ?? parseGitRemote(`https://${url}`);
  const attrs = new Map<string, string>();
  const caps = new Set(["source.git"]);
  const set = (key: string, value: string | undefined, cap: string | undefined): void => {
    if (value === undefined || value === "") return;
    attrs.set(key, value);
    if (cap !== undefined) caps.add(cap);
  };
  const flag = (on: boolean | undefined): string => (on === true ? "true" : "");
  const auth = (own: string | undefined): string | undefined => (own === undefined ? undefined : "source.git.httpauth");
  set("git.keepgitdir", flag(options.keepGitDir), "source.git.keepgitdir");
  set("git.fullurl", remote?.remote ?? url, "source.git.fullurl");
  set("git.authtokensecret", options.authTokenSecret ?? "GIT_AUTH_TOKEN", auth(options.authTokenSecret));
  set("git.authheadersecret", options.authHeaderSecret ?? "GIT_AUTH_HEADER", auth(options.authHeaderSecret));
  if (remote?.scheme === "ssh") {
    set("git.knownsshhosts", options.knownSshHosts, undefined);
    caps.add("source.git.knownsshhosts");
    set("git.mountsshsock", options.mountSshSock ?? "default", "source.git.mountsshsock");
  }
  set("git.checksum", options.checksum, "source.git.checksum");
  set("git.skipsubmodules", flag(options.skipSubmodules), "source.git.skipsubmodules");
  set("git.mtime", options.mtime, "source.git.mtime");
  set("git.fetchbycommit", flag(options.fetchByCommit), "source.git.fetchbycommit");
  set("git.bundle", options.bundle?.locator, "source.git.bundle");
  set("oci.session", options.bundle?.sessionId, undefined);
  set("oci.store", options.bundle?.storeId, undefined);
  set("git.checkoutbundle", flag(options.checkoutBundle), "source.git.checkoutbundle");
  const identifier = gitIdentifier(remote, { url, ref: options.ref ?? "", subdir: options.subdir ?? "" });
  return source(`git://${identifier}`, { attrs, caps: [...caps], constraints: options });
}

/** A source of any kind by its identifier, for those that have no function of their own here. */
export function source(
  identifier: string,
  options: {
    readonly attrs?: ReadonlyMap<string, string>;
    readonly caps?: readonly string[];
    readonly constraints?: Constraints;
  } = {},
): State {
  const { attrs = new Map<string, string>(), caps = [], constraints = {} } = options;
  const vertex = new SourceVertex(identifier, { attrs, caps, constraints });
  return new State({ vertex, index: 0, ...outputPlatform(constraints.platform) });
}
