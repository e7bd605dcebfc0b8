import { closeSync, fsyncSync, openSync, rmSync, statfsSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/** Space for some hundred transactions; removing what fills the disk needs a few. */
const sizeBytes = 2 * 1024 * 1024;
/** The reserve is taken again only when it is a small part of what is free. */
const comfort = 4;
// Short: what filled the disk is often removed at once, and the next thing that fills it may follow at once.
const retryMs = 20;

/**
 * A file that holds space for the database, to be given up when the disk is full.
 *
 * What fills a disk is removed by transactions that need space themselves: without a reserve, a full disk would stay so.
 *
 *     taken ──give up()──▶ given up ──take(), when there is space again──▶ taken
 */
export class DiskReserve {
  readonly #path: string;
  #isTaken = false;
  #triedAt = Number.NEGATIVE_INFINITY;

  constructor(path: string) {
    this.#path = path;
    this.take();
  }

  /** Takes the space unless it is taken or scarce; costs next to nothing when there is nothing to do. */
  take(): void {
    if (this.#isTaken || performance.now() - this.#triedAt < retryMs) return;
    this.#triedAt = performance.now();
    try {
      if (statSync(this.#path, { throwIfNoEntry: false })?.size !== sizeBytes) this.#allocate();
      this.#isTaken = true;
    } catch {
      // Without space there is no reserve to take; it is tried again.
      rmSync(this.#path, { force: true });
    }
  }

  #allocate(): void {
    const { bavail, bsize } = statfsSync(dirname(this.#path));
    if (bavail * bsize < comfort * sizeBytes) throw new Error("too little space");
    const fd = openSync(this.#path, "w", 0o600);
    try {
      // Written, as some file systems only pretend to allocate.
      for (let written = 0; written < sizeBytes; ) written += writeSync(fd, Buffer.alloc(sizeBytes - written, 1));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  /** Gives the space back. @returns whether there was any. */
  giveUp(): boolean {
    const wasTaken = this.#isTaken;
    rmSync(this.#path, { force: true });
    this.#isTaken = false;
    this.#triedAt = performance.now();
    return wasTaken;
  }
}
