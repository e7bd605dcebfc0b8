import { joinPath } from "./path.ts";

/** A git remote, split as the source's identifier needs it. */
export interface GitRemote {
  readonly scheme: string;
  readonly host: string;
  readonly path: string;
  /** The URL without fragment and query, as git takes it. */
  readonly remote: string;
}

/** Reads `http`, `https`, `ssh` and `git` URLs and `user@host:path`; undefined if the text is neither. */
export function parseGitRemote(text: string): GitRemote | undefined {
  const url = /^(https?|ssh|git):\/\/([^/?#]*)([^?#]*)/i.exec(text);
  if (url !== null) {
    const [remote, scheme = "", authority = "", path = ""] = url;
    const host = authority.slice(authority.lastIndexOf("@") + 1);
    return { scheme: scheme.toLowerCase(), host, path: decodePath(path), remote };
  }
  if (text.includes("://")) return undefined;
  const scp = /^([a-zA-Z0-9_.-]+)@([a-zA-Z0-9.-]+):([^#?]*)/.exec(text);
  if (scp === null) return undefined;
  const [remote, , host = "", path = ""] = scp;
  return { scheme: "ssh", host, path, remote };
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** The part of a git source's identifier after `git://`: alike for all protocols by which one repository is reached. */
export function gitIdentifier(
  remote: GitRemote | undefined,
  what: { readonly url: string; readonly ref: string; readonly subdir: string },
): string {
  if (remote === undefined) return what.url;
  const subdir = joinPath("/", what.subdir).slice(1);
  const place = remote.host + joinPath("/", remote.path);
  if (what.ref === "" && subdir === "") return place;
  return `${place}#${what.ref}${subdir === "" ? "" : `:${subdir}`}`;
}
