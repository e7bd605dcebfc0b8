import { findExit, type ProcessExit } from "@buildkit-ts/sys";

/** Should a signal be lost, the child's end is still noticed after this time. */
const pollMs = 250;

const waiting = new Map<number, PromiseWithResolvers<ProcessExit>>();
let poll: NodeJS.Timeout | undefined;

/**
 * Waits for the end of a child that `spawnProcess` started. Only to be called in the main thread, as only that one is told of
 * signals, and once for each child.
 */
export async function waitForExit(pid: number): Promise<ProcessExit> {
  const exit = Promise.withResolvers<ProcessExit>();
  if (waiting.size === 0) {
    process.on("SIGCHLD", collect);
    poll = setInterval(collect, pollMs);
  }
  waiting.set(pid, exit);
  // It may have ended before the handler was there.
  collect();
  return await exit.promise;
}

// One signal may stand for the ends of several children, and Node's own children send it too: so each one is asked.
function collect(): void {
  for (const [pid, { resolve, reject }] of waiting) {
    try {
      const exit = findExit(pid);
      if (exit === undefined) continue;
      resolve(exit);
    } catch (error) {
      reject(error);
    }
    // The status has been taken in the same turn in which nobody can signal the process any more.
    waiting.delete(pid);
  }
  if (waiting.size > 0) return;
  process.off("SIGCHLD", collect);
  clearInterval(poll);
}
