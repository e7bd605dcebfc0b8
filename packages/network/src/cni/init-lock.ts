import { closeSync, openSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { tryLock } from "@buildkit-ts/sys";

const retryMs = 20;
const patienceMs = 120_000;

/**
 * Runs the set-up of a network while holding the lock of a file, where one is named: daemons that start side by side with
 * one network would each make its bridge.
 */
export async function withInitLock<T>(path: string | undefined, setUp: () => Promise<T>): Promise<T> {
  if (path === undefined || path === "") return await setUp();
  const fd = openSync(path, "a+", 0o600);
  try {
    const signal = AbortSignal.timeout(patienceMs);
    // The kernel's own wait would hold a thread of Node's pool for as long. The timer holds the process: while a daemon starts
    // there may be nothing else that does, and it would end without a word.
    while (!tryLock(fd, "exclusive")) await setTimeout(retryMs, undefined, { signal });
    return await setUp();
  } finally {
    closeSync(fd);
  }
}
