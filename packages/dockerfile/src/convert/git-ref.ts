import { parseBool, quote } from "@buildkit-ts/gotext";
import { invalid } from "../text/located-error.ts";
import { joinPath } from "./target-path.ts";

/** A git repository as contexts and ADD name it: `https://host/repo.git#ref:dir`, `git@host:repo`, with options in a query. */
export interface GitRef {
  readonly remote: string;
  ref: string;
  subdir: string;
  checksum: string;
  keepGitDir: boolean | undefined;
  submodules: boolean | undefined;
  mtime: "" | "checkout" | "commit";
  fetchByCommit: boolean;
  /** `github.com/…`, which could be a local path too: only contexts take it for a repository. */
  readonly looksLocal: boolean;
}

/**
 * Reads a git reference; undefined if the text is none.
 *
 * @throws {BuildError} `invalid_argument` if it is one, with a query that makes no sense.
 */
export function parseGitRef(text: string): GitRef | undefined {
  if (text.startsWith("./") || text.startsWith("../")) return undefined;
  const looksLocal = text.startsWith("github.com/");
  const url = looksLocal ? splitUrl(`https://${text}`) : splitRemote(text);
  if (url === undefined) return undefined;
  if (!looksLocal && /^https?:/.test(url.remote) && !url.path.endsWith(".git")) return undefined;
  const colon = url.fragment.indexOf(":");
  const git: GitRef = {
    remote: looksLocal ? url.remote.slice("https://".length) : url.remote,
    ref: colon < 0 ? url.fragment : url.fragment.slice(0, colon),
    subdir: colon < 0 ? "" : joinPath("/", url.fragment.slice(colon + 1)).slice(1),
    checksum: "",
    keepGitDir: undefined,
    submodules: undefined,
    mtime: "",
    fetchByCommit: false,
    looksLocal,
  };
  applyQuery(git, url.query);
  return git;
}

interface Split {
  readonly remote: string;
  readonly path: string;
  readonly query: string;
  readonly fragment: string;
}

function splitRemote(text: string): Split | undefined {
  const scheme = /^([a-zA-Z0-9]+):\/\//.exec(text)?.[1]?.toLowerCase();
  if (scheme !== undefined) return ["http", "https", "ssh", "git"].includes(scheme) ? splitUrl(text) : undefined;
  const scp = /^([a-zA-Z0-9-_]+@[a-zA-Z0-9-.]+:)([^\n?#]*)(?:\?([^\n#]*))?(?:#([^\n]*))?$/.exec(text);
  if (scp === null) return undefined;
  const [, head = "", path = "", query = "", fragment = ""] = scp;
  return { remote: head + path, path, query, fragment };
}

function splitUrl(text: string): Split | undefined {
  const match = /^([a-zA-Z0-9]+):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s.exec(text);
  if (match === null || hasBlank(match[2] ?? "")) return undefined;
  const [, scheme = "", authority = "", path = "", query = "", fragment = ""] = match;
  try {
    return {
      remote: `${scheme.toLowerCase()}://${authority}${path}`,
      path: decodeURIComponent(path),
      query,
      fragment: decodeURIComponent(fragment),
    };
  } catch {
    return undefined;
  }
}

const switches = new Set(["submodules", "keep-git-dir", "fetch-by-commit"]);

function applyQuery(git: GitRef, query: string): void {
  const params = new URLSearchParams(query);
  const names: { tag: string; branch: string } = { tag: "", branch: "" };
  for (const key of new Set(params.keys())) {
    const values = params.getAll(key);
    if (values.length > 1) throw invalid(`query ${quote(key)} has multiple values`);
    const value = values[0] ?? "";
    if (value === "" && !switches.has(key)) throw invalid(`query ${quote(key)} has no value`);
    if (key === "tag" || key === "branch") names[key] = value;
    else applyParameter(git, key, value);
  }
  if (names.tag !== "") agree(git, "ref", withPrefix("refs/tags/", names.tag));
  if (names.branch === "") return;
  if (names.tag !== "") throw invalid("branch conflicts with tag");
  agree(git, "ref", withPrefix("refs/heads/", names.branch));
}

function applyParameter(git: GitRef, key: string, value: string): void {
  switch (key) {
    case "ref":
    case "subdir":
      return agree(git, key, value);
    case "checksum":
    case "commit":
      git.checksum = value;
      return;
    case "keep-git-dir":
      git.keepGitDir = readSwitch(key, value);
      return;
    case "submodules":
      git.submodules = readSwitch(key, value);
      return;
    case "fetch-by-commit":
      git.fetchByCommit = readSwitch(key, value);
      return;
    case "mtime":
      if (value !== "checkout" && value !== "commit")
        throw invalid(`invalid mtime value: ${quote(value)} (must be "checkout" or "commit")`);
      git.mtime = value;
      return;
    default:
      throw invalid(`unexpected query ${quote(key)}`);
  }
}

function agree(git: GitRef, key: "ref" | "subdir", value: string): void {
  if (git[key] !== "" && git[key] !== value) throw invalid(`${key} conflicts: ${quote(git[key])} vs ${quote(value)}`);
  git[key] = value;
}

function readSwitch(key: string, value: string): boolean {
  const read = value === "" ? true : parseBool(value);
  if (read === undefined) throw invalid(`invalid ${key} value: ${quote(value)}`);
  return read;
}

function withPrefix(prefix: string, name: string): string {
  return name.startsWith(prefix) ? name : prefix + name;
}

function hasBlank(host: string): boolean {
  for (let i = 0; i < host.length; i++) if (host.charCodeAt(i) <= 0x20 || host.charCodeAt(i) === 0x7f) return true;
  return false;
}
