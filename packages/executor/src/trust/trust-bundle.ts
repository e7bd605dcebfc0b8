import { constants, ftruncateSync, readlinkSync, readSync, writeSync } from "node:fs";
import { type FileStat, hasErrno, O_PATH, type OpenFile, RootedDirectory, utimesOf } from "@buildkit-ts/sys";

/** Where programs on Linux look for the authorities that they trust, the usual places first. */
const places = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

const begin = "\n# buildkit proxy CA begin\n";
const end = "# buildkit proxy CA end\n";
const maxBytes = 10 << 20;
const { O_NOCTTY, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;

/** A file of authorities as a tree has it. */
interface FoundBundle {
  /** Without symbolic links. */
  readonly path: string;
  readonly stat: FileStat;
  readonly content: Buffer;
}

/**
 * Has the programs of one step trust one authority more, by the file where its image keeps those that it trusts. The file is
 * the step's own: programs that manage it replace it, which they could not do with one that is mounted over it.
 */
export class TrustBundle {
  /** The file, if the tree has one. */
  readonly path: string | undefined;
  readonly #rootPath: string;
  readonly #certificate: string;
  readonly #found: FoundBundle | undefined;
  readonly #extended: Buffer;

  /** Looks, and changes nothing. */
  constructor(rootPath: string, certificate: string) {
    this.#rootPath = rootPath;
    this.#certificate = certificate;
    using root = RootedDirectory.open(rootPath);
    this.#found = findBundle(root, rootPath);
    this.path = this.#found?.path;
    const { content } = this.#found ?? { content: Buffer.alloc(0) };
    const lineEnd = content.length === 0 || content.at(-1) === 0x0a ? "" : "\n";
    this.#extended = Buffer.concat([content, Buffer.from(`${lineEnd}${begin}${certificate}${end}`)]);
  }

  /** What a file would hold that is mounted over the tree's. */
  get extended(): Uint8Array {
    return this.#extended;
  }

  /** Adds the authority to the file. */
  extend(): void {
    if (this.#found === undefined) return;
    using root = RootedDirectory.open(this.#rootPath);
    using file = root.open(this.#found.path, O_RDWR | O_NOCTTY);
    const from = this.#found.content.length;
    writeAll(file, this.#extended.subarray(from), from);
  }

  /**
   * Takes the authority away wherever the step has left it among the known places.
   *
   * @returns Whether the file is now what it was before.
   */
  restore(): boolean {
    using root = RootedDirectory.open(this.#rootPath);
    let isUntouched = false;
    for (const place of places) {
      const bundle = readBundle(root, place, this.#rootPath);
      if (bundle === undefined) continue;
      const isExtended = bundle.path === this.path && bundle.content.equals(this.#extended);
      const cleaned = isExtended ? this.#found?.content : withoutAuthority(bundle.content, this.#certificate);
      if (cleaned === undefined || cleaned.equals(bundle.content)) continue;
      using file = root.open(bundle.path, O_RDWR | O_NOCTTY);
      writeAll(file, cleaned, 0);
      ftruncateSync(file.fd, cleaned.length);
      if (!isExtended || this.#found === undefined) continue;
      const { accessNs, modificationNs } = this.#found.stat;
      utimesOf(file.fd, { accessNs, modificationNs });
      isUntouched = true;
    }
    return isUntouched;
  }
}

function findBundle(root: RootedDirectory, rootPath: string): FoundBundle | undefined {
  for (const place of places) {
    const found = readBundle(root, place, rootPath);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What is at a place; undefined for what is no file of authorities. */
function readBundle(root: RootedDirectory, place: string, rootPath: string): FoundBundle | undefined {
  try {
    using named = root.open(place, O_PATH);
    const stat = named.stat();
    if (!stat.isFile() || stat.sizeBytes > maxBytes) return undefined;
    const path = readlinkSync(`/proc/self/fd/${named.fd}`).slice(rootPath.length);
    using file = root.open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    return { path, stat, content: readContent(file, stat.sizeBytes) };
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EACCES", "ENXIO")) return undefined;
    throw error;
  }
}

function readContent(file: OpenFile, sizeBytes: number): Buffer {
  const content = Buffer.alloc(sizeBytes);
  let length = 0;
  for (let count = -1; count !== 0 && length < sizeBytes; length += count) {
    count = readSync(file.fd, content, length, sizeBytes - length, length);
  }
  return content.subarray(0, length);
}

function writeAll(file: OpenFile, data: Buffer, from: number): void {
  for (let written = 0; written < data.length; ) {
    written += writeSync(file.fd, data, written, data.length - written, from + written);
  }
}

/** Also where a program has sorted the comments out. */
function withoutAuthority(content: Buffer, certificate: string): Buffer {
  let rest = content;
  for (const block of [`${begin}${certificate}${end}`, certificate]) {
    for (let at = rest.indexOf(block); at >= 0; at = rest.indexOf(block)) {
      rest = Buffer.concat([rest.subarray(0, at), rest.subarray(at + block.length)]);
    }
  }
  return rest;
}
