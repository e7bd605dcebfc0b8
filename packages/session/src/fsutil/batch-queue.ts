/** Bytes that are handed to the writing thread at once, and how many may be there before the sender has to wait. */
const batchBytes = 512 << 10;
const maxInFlightBytes = 4 << 20;
/** One that is worked on, and one that is there when it is done. */
const messagesAhead = 1;
/**
 * A message costs both threads more than the entries of several milliseconds do that a sender makes while it walks a tree. So
 * after one, the next waits a moment, unless this much has come.
 */
const pauseMs = 2;
const worthwhileBytes = 64 << 10;

/** What a {@linkcode BatchQueue} works with. */
export interface BatchQueueOptions {
  /** Moves a buffer, of which the first `length` bytes count, to whoever takes it. */
  readonly handOver: (buffer: ArrayBuffer, length: number) => void;
  readonly pause: () => void;
  readonly resume: () => void;
  /** Runs something in so many milliseconds; `setTimeout` unless given. */
  readonly later?: (run: () => void, ms: number) => void;
}

/**
 * Bytes on their way to another thread, in few large messages: what comes while the thread is busy goes over together. Its
 * buffers come back and are used again, so a transfer of any size needs a fixed number of them.
 */
export class BatchQueue {
  readonly #options: BatchQueueOptions;
  readonly #free: ArrayBuffer[] = [];
  #batch: Uint8Array<ArrayBuffer> | undefined;
  #filled = 0;
  #isScheduled = false;
  #isPausing = false;
  #messages = 0;
  #inFlight = 0;

  constructor(options: BatchQueueOptions) {
    this.#options = options;
  }

  /** Whether all that was handed over has been taken. */
  get isIdle(): boolean {
    return this.#inFlight === 0;
  }

  push(chunk: Uint8Array): void {
    for (let offset = 0; offset < chunk.length; ) {
      this.#batch ??= new Uint8Array(this.#free.pop() ?? new ArrayBuffer(batchBytes));
      const part = chunk.subarray(offset, offset + batchBytes - this.#filled);
      this.#batch.set(part, this.#filled);
      this.#filled += part.length;
      offset += part.length;
      if (this.#filled === batchBytes) this.flush();
    }
    if (this.#filled === 0 || this.#isScheduled || !this.#isDue()) return;
    // What comes in one turn of the event loop goes over together.
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      if (this.#isDue()) this.flush();
    });
  }

  /** Whether what is there is to be handed over now. */
  #isDue(): boolean {
    if (this.#messages >= messagesAhead) return false;
    return !this.#isPausing || this.#filled >= worthwhileBytes;
  }

  #pause(): void {
    if (this.#isPausing) return;
    this.#isPausing = true;
    const { later = setTimeout } = this.#options;
    later(() => {
      this.#isPausing = false;
      if (this.#isDue()) this.flush();
    }, pauseMs);
  }

  /** Hands over what is there now. */
  flush(): void {
    const { buffer } = this.#batch ?? {};
    if (buffer === undefined || this.#filled === 0) return;
    const length = this.#filled;
    this.#batch = undefined;
    this.#filled = 0;
    this.#messages += 1;
    this.#inFlight += length;
    this.#pause();
    this.#options.handOver(buffer, length);
    if (this.#inFlight > maxInFlightBytes) this.#options.pause();
  }

  /** To be called when the thread has dealt with a message; its buffer comes back. */
  taken(buffer: ArrayBuffer, length: number): void {
    this.#free.push(buffer);
    this.#messages -= 1;
    this.#inFlight -= length;
    if (this.#isDue()) this.flush();
    if (this.#inFlight <= maxInFlightBytes / 2) this.#options.resume();
  }
}
