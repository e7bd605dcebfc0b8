import { appendFile, readFile } from "node:fs/promises";

const bytesPerInode = 8;

/** Adds inode numbers to a file of them. */
export async function addInodes(path: string, inodes: BigUint64Array): Promise<void> {
  if (inodes.length > 0) await appendFile(path, new Uint8Array(inodes.buffer, inodes.byteOffset, inodes.byteLength));
}

/** The inode numbers of all these files, as far as there are such files. */
export async function readInodes(paths: readonly string[]): Promise<BigUint64Array<ArrayBuffer>> {
  const files = await Promise.all(paths.map(async (path) => await readIfThere(path)));
  const all = Buffer.concat(files);
  const inodes = new BigUint64Array(Math.floor(all.length / bytesPerInode));
  // A number is copied, not viewed: the bytes may lie anywhere.
  new Uint8Array(inodes.buffer).set(all.subarray(0, inodes.byteLength));
  return inodes;
}

async function readIfThere(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Uint8Array();
    throw error;
  }
}
