import { posix } from "node:path";
import { quote } from "@buildkit-ts/gotext";
import { invalid, prefixError } from "../text/located-error.ts";

/** Cleaned path without a trailing slash; `.` for nothing. */
export function cleanPath(path: string): string {
  const clean = posix.normalize(path);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}

/** Parts joined and cleaned, empty ones left out. */
export function joinPath(...parts: readonly string[]): string {
  const present = parts.filter((part) => part !== "");
  return present.length === 0 ? "" : cleanPath(present.join("/"));
}

/** The last element, `.` for nothing and `/` for the root. */
export function baseName(path: string): string {
  if (path === "") return ".";
  const trimmed = path.replace(/\/+$/, "");
  return trimmed === "" ? "/" : trimmed.slice(trimmed.lastIndexOf("/") + 1);
}

/** Backslashes of Windows paths as slashes. */
export function toSlash(path: string, os: string): string {
  return os === "windows" ? path.replaceAll("\\", "/") : path;
}

/**
 * The path without its drive letter, which must be the system drive's; a no-op but for Windows.
 *
 * @throws {BuildError} `invalid_argument` for other drives, UNC paths and a bare drive.
 */
export function withoutDrive(path: string, os: string, keepSlash: boolean): string {
  if (os !== "windows") return path;
  if (path.length === 2 && path[1] === ":") throw invalid(`No relative path specified in ${quote(path)}`);
  if (toSlash(path.slice(0, 2), os) === "//") throw invalid("UNC paths are not supported");
  const colon = path.indexOf(":");
  if (colon >= 0 && path.slice(0, colon).toLowerCase() !== "c")
    throw invalid("The specified path is not on the system drive (C:)");
  const slashed = toSlash(path.slice(colon + 1), os);
  const clean = cleanPath(slashed);
  return keepSlash && clean.length > 1 && slashed.endsWith("/") ? `${clean}/` : clean;
}

/** Whether a path inside an image is absolute. */
export function isAbsolute(path: string, os: string): boolean {
  try {
    return withoutDrive(path, os, false).startsWith("/");
  } catch {
    return false;
  }
}

/** What {@linkcode absolutePath} starts from. */
export interface PathBase {
  readonly parent: string;
  readonly os: string;
  /** Keeps a trailing slash or `/.`, which makes a copy's destination a directory. */
  readonly keepSlash: boolean;
}

/** The path inside an image, with slashes; a relative one is below the parent. Absolute ones are not cleaned. */
export function absolutePath(path: string, { parent, os, keepSlash }: PathBase): string {
  try {
    const original = toSlash(path, os);
    const base = withoutDrive(toSlash(parent, os) || "/", os, keepSlash);
    const root = isAbsolute(base, os) ? base : joinPath("/", base);
    const given = withoutDrive(original === "" ? root : original, os, keepSlash);
    let out = isAbsolute(given, os) ? given : joinPath(root, given);
    if (keepSlash && original.endsWith("/") && !out.endsWith("/")) out += "/";
    else if (keepSlash && original.endsWith("/.")) out += out === "/" ? "." : "/.";
    return toSlash(out, os);
  } catch (error) {
    throw prefixError("removing drive letter", error);
  }
}

/** The working directory after `WORKDIR path`, with the separators of its system. */
export function nextWorkdir(current: string, path: string, os: string): string {
  try {
    const next = absolutePath(path, { parent: current, os, keepSlash: false });
    return os === "windows" ? next.replaceAll("/", "\\") : next;
  } catch (error) {
    throw prefixError("normalizing workdir: normalizing working directory", error);
  }
}
