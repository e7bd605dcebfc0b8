import { ftruncateSync } from "node:fs";
import { NativeCall } from "./native-call.ts";

const lseek = new NativeCall("lseek", "int64_t lseek(int, int64_t, int)");
const SEEK_SET = 0;
const SEEK_END = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const ENXIO = 6;

/**
 * Copies only where a file has data, so that its holes stay holes. `copy` is called for each region, with both descriptors
 * at its beginning, and says how many bytes it copied, or that it cannot.
 *
 * @returns False, with both descriptors at the beginning, where the file system does not tell or the copy cannot.
 */
export function copyRegions(from: number, to: number, copy: (length: number) => number | undefined): boolean {
  if (lseek.tryCall(from, 0, SEEK_HOLE) < 0) return false;
  const size = lseek.call(undefined, from, 0, SEEK_END);
  for (let position = 0; position < size; ) {
    const start = lseek.tryCall(from, position, SEEK_DATA);
    // The rest is a hole.
    if (start === -ENXIO) break;
    if (start < 0) throw lseek.failure(undefined, -start);
    const end = lseek.call(undefined, from, start, SEEK_HOLE);
    lseek.call(undefined, from, start, SEEK_SET);
    lseek.call(undefined, to, start, SEEK_SET);
    const copied = copy(end - start);
    if (copied === undefined) return rewind(from, to);
    // It became shorter meanwhile, and is what it is now.
    if (copied < end - start) return true;
    position = end;
  }
  ftruncateSync(to, size);
  return true;
}

function rewind(from: number, to: number): boolean {
  for (const fd of [from, to]) lseek.call(undefined, fd, 0, SEEK_SET);
  return false;
}
