import { createHash } from "node:crypto";
import type { Digest } from "@buildkit-ts/oci";
import type { ResultSubject } from "@buildkit-ts/provenance";
import { readFileChunks } from "../files/tar-entries.ts";
import { walkTree } from "../files/walk-tree.ts";

/** The regular files of a tree, with their digests. */
export async function hashFiles(
  directory: string,
  options: { readonly signal: AbortSignal },
): Promise<ResultSubject[]> {
  const subjects: ResultSubject[] = [];
  for await (const { path, source, stat } of walkTree(directory, options)) {
    if (!stat.isFile()) continue;
    const hash = createHash("sha256");
    // Chunk by chunk, so that others get their turn in between.
    for await (const chunk of readFileChunks(source, stat.sizeBytes)) hash.update(chunk);
    subjects.push({ name: path, digest: `sha256:${hash.digest("hex")}` as Digest });
  }
  return subjects;
}
