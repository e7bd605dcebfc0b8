import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { endProcess } from "./processes.ts";

/** Something that is wrong with a daemon's disk until it is disposed. */
export type DiskFault = AsyncDisposable;

/** Leaves nothing free on the disk of a root, also when the daemon frees something. */
export function fillDisk(root: string): DiskFault {
  const path = join(root, "filler");
  const fd = openSync(path, "w");
  fill(fd);
  const timer = setInterval(() => fill(fd), 20);
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      closeSync(fd);
      rmSync(path);
      await Promise.resolve();
    },
  };
}

function fill(fd: number): void {
  for (const size of [1 << 20, 4096])
    try {
      for (;;) writeSync(fd, Buffer.alloc(size, 1));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    }
}

type FileCalls = "read" | "write" | "link";

/** What a process does to files, and not to its clients' connections. */
const fileCalls: Readonly<Record<FileCalls, readonly string[]>> = {
  read: ["openat", "statx", "newfstatat", "getdents64", "pread64"],
  write: ["pwrite64", "fsync", "fdatasync", "ftruncate", "copy_file_range"],
  link: ["rename", "renameat", "renameat2", "mkdir", "mkdirat", "unlink", "unlinkat", "link", "linkat", "symlinkat"],
};

/** Which of a process' calls fail. */
export interface BrokenCalls {
  /** Those that read, write, or change directories. */
  readonly kind: FileCalls | "any";
  /** The first so many calls of each thread succeed. */
  readonly after: number;
  /** From then on one call of so many fails. */
  readonly every: number;
}

/** Whether this machine lets processes be traced; hardened ones do not. */
export function canBreakDisk(): boolean {
  return spawnSync("strace", ["-o", "/dev/null", "-e", "inject=getuid:error=EIO", "true"]).status === 0;
}

/** Lets calls of a process, of all of its threads and of what it starts meanwhile, fail as on a disk that cannot be read or written. */
export async function breakDisk(pid: number, { kind, after, every }: BrokenCalls): Promise<DiskFault> {
  const names = (kind === "any" ? Object.values(fileCalls).flat() : fileCalls[kind])
    .map((name) => `?${name}`)
    .join(",");
  const when = `when=${after + 1}+${every}`;
  const flags = ["-f", "-p", String(pid), "-o", "/dev/null", "-e", `trace=${names}`];
  const tracer = spawn("strace", [...flags, "-e", `inject=${names}:error=EIO:${when}`], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  await attached(tracer);
  return {
    [Symbol.asyncDispose]: async () => {
      // It detaches: the process goes on as if nothing had been.
      await endProcess(tracer);
    },
  };
}

async function attached(tracer: ChildProcess): Promise<void> {
  let said = "";
  await new Promise<void>((resolve, reject) => {
    tracer.once("error", reject);
    tracer.once("exit", () => reject(new Error(`strace could not attach: ${said}`)));
    tracer.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (/\battached\b/.test(said)) resolve();
    });
  });
}
