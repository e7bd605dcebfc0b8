import { closeSync, constants, openSync, unlinkSync } from "node:fs";
import { Socket } from "node:net";
import { AT_FDCWD, mknodAt, S_IFIFO } from "@buildkit-ts/sys";

const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants;

/**
 * One end of a process's standard streams, as a pipe.
 *
 * Node gives its children sockets, and a process cannot open `/dev/stdout` where that is a socket (ENXIO): steps that write
 * there would fail. So pipes are made here, as FIFOs whose names are gone as soon as both ends are open.
 */
export class StdioPipe implements Disposable {
  /** For the child. Closed by {@linkcode releaseChildEnd}, once the child has it. */
  readonly childFd: number;
  /** The daemon's end. */
  readonly socket: Socket;
  #childOpen = true;

  private constructor(childFd: number, socket: Socket) {
    this.childFd = childFd;
    this.socket = socket;
  }

  /** @param path A name that does not exist yet, in a directory that only the daemon can reach. */
  static create(path: string, childEnd: "reads" | "writes"): StdioPipe {
    mknodAt({ fd: AT_FDCWD, path }, S_IFIFO | 0o600, { major: 0, minor: 0 });
    try {
      // A FIFO's first opener waits for the other end, unless it reads without blocking.
      const readFd = openSync(path, O_RDONLY | O_NONBLOCK);
      const writeFd = openSync(path, O_WRONLY);
      if (childEnd === "writes")
        return new StdioPipe(writeFd, new Socket({ fd: readFd, readable: true, writable: false }));
      // Programs expect a blocking standard input; the flag belongs to the open file, so a second opening gives one.
      const blockingFd = openSync(path, O_RDONLY);
      closeSync(readFd);
      return new StdioPipe(blockingFd, new Socket({ fd: writeFd, readable: false, writable: true }));
    } finally {
      unlinkSync(path);
    }
  }

  releaseChildEnd(): void {
    if (!this.#childOpen) return;
    this.#childOpen = false;
    closeSync(this.childFd);
  }

  [Symbol.dispose](): void {
    this.releaseChildEnd();
    this.socket.destroy();
  }
}
