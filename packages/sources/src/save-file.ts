import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "@buildkit-ts/oci";

/** Owner and permission bits of a file that was fetched. */
export interface SavedFileMode {
  /** 0: read and write for the owner. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** What is written where; the directory is empty and nobody else's, the name is one component. */
export interface SavedFile {
  readonly directory: string;
  readonly name: string;
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Milliseconds since 1970; default 0, so that the same bytes give the same file. */
  readonly modified?: number;
}

/** Writes bytes as they come, and tells their digest. */
export async function saveFile(
  { directory, name, bytes, modified = 0 }: SavedFile,
  { mode, uid, gid }: SavedFileMode,
): Promise<Digest> {
  const hash = createHash("sha256");
  await using file = await open(join(directory, name), "wx", 0o600);
  for await (const chunk of bytes) {
    hash.update(chunk);
    await file.writeFile(chunk);
  }
  await file.chown(uid, gid);
  // After chown, which clears the bits for set-user-id.
  await file.chmod(mode === 0 ? 0o600 : mode);
  await file.utimes(modified / 1000, modified / 1000);
  return `sha256:${hash.digest("hex")}` as Digest;
}
