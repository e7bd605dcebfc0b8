import { posix } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import { type BlobAddress, parseBlobReference, parseBlobScheme } from "../blob/blob-origin.ts";
import type { SourceRequest } from "../source.ts";
import { invalidAttribute, parseBoolAttribute, stripScheme } from "../source-attributes.ts";
import type { GitSignaturePolicy } from "./verify-signature.ts";

/** A `git://` source: which tree of which repository. */
export interface GitIdentifier {
  /** A URL, or `user@host:path`; never with a password, so that none gets into git's files and the daemon's records. */
  readonly remote: string;
  /** User name and password that the URL of an HTTP remote had, still escaped; empty for none. */
  readonly userInfo: string;
  /** Branch, tag, full ref or commit; empty for the default branch. */
  readonly ref: string;
  /** Directory of the repository that becomes the root; empty for all of it. */
  readonly subdirectory: string;
  readonly keepGitDirectory: boolean;
  /** Beginning of the commit's (or tag's) id that must be found. */
  readonly checksum: string;
  readonly skipSubmodules: boolean;
  readonly authTokenSecret: string;
  readonly authHeaderSecret: string;
  readonly knownSshHosts: string;
  /** Time of the files: of the checkout, or of the commit. */
  readonly mtime: "checkout" | "commit";
  /** Fetch the commit of the checksum, without asking what the ref is. */
  readonly fetchByCommit: boolean;
  /** Id of the agent that signs in to servers by SSH; empty for none. */
  readonly sshAgent: string;
  /** A bundle to fetch from instead of the remote. */
  readonly bundle: BlobAddress | undefined;
  /** The tree is one file, `bundle`, with the commit and its history. */
  readonly checkOutBundle: boolean;
  readonly signature: GitSignaturePolicy | undefined;
}

/** @throws {BuildError} `invalid_argument`, naming the attribute. */
export function parseGitIdentifier(request: SourceRequest): GitIdentifier {
  const { attributes } = request;
  const text = (name: string): string => attributes[name] ?? "";
  const [address, fragment = ""] = splitOnce(stripScheme(request.identifier, "git"), "#");
  const [ref, subdirectory = ""] = splitOnce(fragment, ":");
  const checksum = text("git.checksum");
  if (checksum !== "" && !/^[0-9a-fA-F]{1,64}$/.test(checksum))
    throw new BuildError(
      "invalid_argument",
      `invalid checksum ${checksum.slice(0, 100)} for Git URL, expected hex commit hash`,
    );
  const mtime = text("git.mtime");
  if (mtime !== "" && mtime !== "checkout" && mtime !== "commit")
    throw invalidAttribute("git.mtime", mtime, "neither checkout nor commit");
  const id: GitIdentifier = {
    ...parseRemote(attributes["git.fullurl"] ?? address),
    ref: parseRef(ref),
    subdirectory: posix.join("/", subdirectory).replace(/^\/|\/$/g, ""),
    keepGitDirectory: attributes["git.keepgitdir"] === "true",
    checksum: checksum.toLowerCase(),
    skipSubmodules: attributes["git.skipsubmodules"] === "true",
    authTokenSecret: text("git.authtokensecret"),
    authHeaderSecret: text("git.authheadersecret"),
    knownSshHosts: text("git.knownsshhosts"),
    mtime: mtime === "commit" ? "commit" : "checkout",
    fetchByCommit: attributes["git.fetchbycommit"] === "true",
    sshAgent: text("git.mountsshsock"),
    bundle: parseBundle(attributes),
    checkOutBundle: attributes["git.checkoutbundle"] === "true",
    signature: parseSignaturePolicy(attributes),
  };
  checkBundle(id);
  return id;
}

function parseSignaturePolicy(attributes: SourceRequest["attributes"]): GitSignaturePolicy | undefined {
  const flag = (name: string): boolean => parseBoolAttribute(`git.sig.${name}`, attributes[`git.sig.${name}`]);
  const publicKey = attributes["git.sig.pubkey"] ?? "";
  const policy = {
    publicKey,
    rejectExpired: flag("rejectexpired"),
    requireSignedTag: flag("requiresignedtag"),
    ignoreSignedTag: flag("ignoresignedtag"),
  };
  return publicKey === "" ? undefined : policy;
}

function parseBundle(attributes: SourceRequest["attributes"]): BlobAddress | undefined {
  const locator = attributes["git.bundle"] ?? "";
  if (locator === "") return undefined;
  const parsed = parseBlobScheme(locator);
  if (parsed === undefined)
    throw invalidAttribute("git.bundle", locator, "neither docker-image+blob:// nor oci-layout+blob://");
  const session = attributes["oci.session"] ?? "";
  const { reference, digest } = parseBlobReference(parsed.rest);
  const store = attributes["oci.store"] ?? "";
  return {
    scheme: parsed.scheme,
    reference,
    digest,
    session: session === "" ? undefined : session,
    store: store === "" ? `${reference.domain}/${reference.path}` : store,
  };
}

function checkBundle(id: GitIdentifier): void {
  const refuse = (why: string): never => {
    throw new BuildError("invalid_argument", why);
  };
  if (id.bundle !== undefined) {
    if (id.checksum === "") refuse("git.bundle requires git.checksum to be set");
    if (!isCommitId(id.checksum)) refuse("git.bundle requires git.checksum to be a full commit id");
    if (isCommitId(id.ref) && id.ref !== id.checksum) throw otherChecksum(id.checksum, id.ref);
  }
  if (!id.checkOutBundle) return;
  if (id.keepGitDirectory) refuse("git.checkoutbundle is incompatible with git.keepgitdir");
  if (id.subdirectory !== "") refuse("git.checkoutbundle is incompatible with git.subdir");
}

/** The error for a commit that is not the expected one. */
export function otherChecksum(expected: string, found: string): BuildError {
  return new BuildError("failed_precondition", `expected checksum to match ${expected}, got ${found}`);
}

/** How policies name the source: without user, scheme and what the path can do without. */
export function canonicalGitIdentifier(id: Pick<GitIdentifier, "remote" | "ref" | "subdirectory">): string {
  const { ref, subdirectory } = id;
  const fragment = ref === "" && subdirectory === "" ? "" : `#${ref}${subdirectory === "" ? "" : `:${subdirectory}`}`;
  return `git://${hostAndPath(id.remote)}${fragment}`;
}

function hostAndPath(remote: string): string {
  const [, host, path] = /^[^/]*@([^/:]+):(?!\/\/)(.*)$/.exec(remote) ?? [];
  if (host !== undefined) return host + posix.join("/", path ?? "");
  const rest = remote.slice(remote.indexOf("://") + 3);
  const slash = rest.indexOf("/");
  const authority = slash < 0 ? rest : rest.slice(0, slash);
  return authority.slice(authority.lastIndexOf("@") + 1) + (slash < 0 ? "/" : posix.join("/", rest.slice(slash)));
}

/** The key of the tree of one commit, in BuildKit's bytes (`source/git/source.go`). */
export function gitCacheKey(id: GitIdentifier, commit: string, ref: string): string {
  return [
    commit,
    id.keepGitDirectory ? `.git${ref === "" ? "" : `#${ref}`}` : "",
    id.subdirectory === "" ? "" : `:${id.subdirectory}`,
    id.skipSubmodules ? "(skip-submodules)" : "",
    id.mtime === "commit" ? "(mtime=commit)" : "",
    id.checkOutBundle ? "(bundle)" : "",
  ].join("");
}

/** Whether the text is a whole commit id, of SHA-1 or SHA-256. */
export function isCommitId(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/** @throws {BuildError} `invalid_argument`, for what git would take for an option. */
export function parseRef(ref: string): string {
  // oxlint-disable-next-line no-control-regex
  if (ref.startsWith("-") || /[\u0000-\u0020\u007f]/.test(ref))
    throw new BuildError("invalid_argument", `invalid git ref ${JSON.stringify(ref.slice(0, 200))}`);
  return ref;
}

/** The text without user name and password of its URLs. */
export function redactUrls(text: string): string {
  return text.replace(/:\/\/[^/@\s]+@/g, "://xxxxx:xxxxx@");
}

function parseRemote(address: string): Pick<GitIdentifier, "remote" | "userInfo"> {
  // `user@host:path` is what scp and git take, without a scheme.
  const isScp = /^[a-zA-Z0-9-_]+@[a-zA-Z0-9-.]+:(?!\/\/)/.test(address);
  const remote = isScp || /^[a-zA-Z0-9]+:\/\//.test(address) ? address : `https://${address}`;
  const [scheme] = splitOnce(remote, "://");
  const isKnown = isScp || ["http", "https", "ssh", "git"].includes(scheme.toLowerCase());
  if (!isKnown || (!isScp && !URL.canParse(remote)) || remote.startsWith("-"))
    throw new BuildError(
      "invalid_argument",
      `Cannot use git remote "${redactUrls(remote).slice(0, 200)}": invalid protocol`,
    );
  return splitUserInfo(splitOnce(splitOnce(remote, "#")[0], "?")[0]);
}

/** SSH takes the user from the URL, and no password. */
function splitUserInfo(remote: string): Pick<GitIdentifier, "remote" | "userInfo"> {
  const [, scheme = "", userInfo = "", rest = ""] = /^(https?:\/\/|git:\/\/)([^/]*)@(.*)$/i.exec(remote) ?? [];
  return scheme === "" ? { remote, userInfo: "" } : { remote: scheme + rest, userInfo };
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}
