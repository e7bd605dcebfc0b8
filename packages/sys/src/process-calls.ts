import { NativeCall } from "./native-call.ts";
import { hasErrno } from "./system-error.ts";

const prctl = new NativeCall("prctl", "int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)");
const flock = new NativeCall("flock", "int flock(int, int)");
const syncfs = new NativeCall("syncfs", "int syncfs(int)");
const umaskCall = new NativeCall("umask", "unsigned int umask(unsigned int)");

const PR_SET_PDEATHSIG = 1;
const PR_SET_CHILD_SUBREAPER = 36;
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

/** Orphaned descendants become children of this process instead of init's. */
export function becomeSubreaper(): void {
  prctl.call(undefined, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

/** The kernel sends this process a signal when the thread that started it ends. */
export function setParentDeathSignal(signal: number): void {
  prctl.call(undefined, PR_SET_PDEATHSIG, signal, 0, 0, 0);
}

/** Takes the lock of an open file without waiting; false if someone else holds it. It ends with the last descriptor. */
export function tryLock(fd: number, kind: "shared" | "exclusive"): boolean {
  try {
    flock.call(undefined, fd, (kind === "shared" ? LOCK_SH : LOCK_EX) | LOCK_NB);
    return true;
  } catch (error) {
    if (hasErrno(error, "EAGAIN", "EWOULDBLOCK")) return false;
    throw error;
  }
}

export function unlock(fd: number): void {
  flock.call(undefined, fd, LOCK_UN);
}

/** Writes everything of the file system that holds an open file to its disk, off this thread. */
export async function syncFileSystem(fd: number): Promise<void> {
  await syncfs.callAsync(undefined, fd);
}

export function syncFileSystemSync(fd: number): void {
  syncfs.call(undefined, fd);
}

/** The process's file mode creation mask. Node refuses `process.umask(mask)` in worker threads; this one works there. */
export function setUmask(mask: number): number {
  return umaskCall.call(undefined, mask);
}
