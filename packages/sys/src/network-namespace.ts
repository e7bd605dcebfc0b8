import { closeSync, constants, openSync } from "node:fs";
import { isMainThread } from "node:worker_threads";
import { NativeCall } from "./native-call.ts";

const setns = new NativeCall("setns", "int setns(int, int)");
const CLONE_NEWNET = 0x40000000;

/** The network namespace of the process, also seen from a thread that has left it. */
export const processNetworkNamespace = "/proc/self/ns/net";

/**
 * Takes the calling worker thread, and no other one, into a network namespace: sockets that it makes from now on belong there.
 *
 * Threads that it starts would follow it. Those of libuv's pool are shared by all threads of the process, so the pool must have
 * been used before.
 */
export function enterNetworkNamespace(path: string): void {
  if (isMainThread) throw new TypeError("Cannot enter network namespace: the main thread's is the process's");
  const fd = openSync(path, constants.O_RDONLY);
  try {
    setns.call(path, fd, CLONE_NEWNET);
  } finally {
    closeSync(fd);
  }
}
