import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { MNT_DETACH, umount } from "@buildkit-ts/sys";
import type { DiskFault } from "../disk-faults.ts";
import { endProcess } from "../processes.ts";
import type { FuseFault } from "./fuse-server.ts";

/** A directory that is shown at another place, where reading and writing it fails on command. */
export class FailingDisk implements AsyncDisposable {
  readonly #server: ChildProcess;
  readonly #target: string;

  private constructor(server: ChildProcess, target: string) {
    this.#server = server;
    this.#target = target;
  }

  /** Whether this machine has the device that such file systems are served by, and lets us use it. */
  static isPossible(): boolean {
    return existsSync("/dev/fuse") && process.getuid?.() === 0;
  }

  /** @param target An empty directory. */
  static async mount(source: string, target: string): Promise<FailingDisk> {
    const server = fork(fileURLToPath(new URL("./fuse-server.ts", import.meta.url)), [source, target]);
    const exited = once(server, "exit").then(([code]) => {
      throw new Error(`The failing disk ended with ${String(code)}`);
    });
    await Promise.race([once(server, "message"), exited]);
    exited.catch(() => undefined);
    return new FailingDisk(server, target);
  }

  /** Fails until it is disposed. */
  async fail(fault: FuseFault): Promise<DiskFault> {
    await this.#tell(fault);
    return { [Symbol.asyncDispose]: async () => await this.#tell(undefined) };
  }

  async #tell(fault: FuseFault | undefined): Promise<void> {
    const done = once(this.#server, "message");
    this.#server.send({ fault });
    await done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Also where something in it is mounted still: whoever looks for that has said so before.
    await umount(this.#target, MNT_DETACH);
    await endProcess(this.#server);
  }
}
