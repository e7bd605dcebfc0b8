import {
  type At,
  applyAttributesAt,
  attributesOf,
  copyXattrs,
  lstatAt,
  mkdirAt,
  pathOfAt,
  utimesAt,
} from "@buildkit-ts/sys";
import { isPortableXattr } from "./portable-xattr.ts";

/** Makes a directory with all that another one is, but for what it holds. The one it is made in keeps its times. */
export function copyUpDirectory(from: At, to: At): void {
  const parent = { fd: to.fd, path: "." };
  const parentTimes = lstatAt(parent);
  mkdirAt(to, 0o700);
  copyXattrs(pathOfAt(from), pathOfAt(to), isPortableXattr);
  applyAttributesAt(to, { attributes: attributesOf(lstatAt(from)), isSymbolicLink: false });
  utimesAt(parent, parentTimes);
}
