/** How much a {@linkcode Channel} holds before it slows its senders down. */
export interface ChannelOptions<T> {
  readonly limit: number;
  /** What a value counts against the limit; 1 unless given. */
  readonly weigh?: (value: T) => number;
}

/**
 * Values on their way from any number of senders to one reader, in order.
 *
 * A sender may always send; the promise that it gets resolves when there is room for more, and that is what it should wait for.
 * Reading ends when the channel is closed and empty, or when the reader leaves: from then on values are dropped.
 */
export class Channel<T> implements AsyncIterable<T> {
  readonly #limit: number;
  readonly #weigh: (value: T) => number;
  #values: T[] = [];
  #weight = 0;
  #closed = false;
  #failure: { readonly error: unknown } | undefined;
  #arrival = Promise.withResolvers<void>();
  #room = Promise.withResolvers<void>();

  constructor(options: ChannelOptions<T>) {
    this.#limit = options.limit;
    this.#weigh = options.weigh ?? (() => 1);
  }

  async send(value: T): Promise<void> {
    if (this.#closed) return;
    this.#values.push(value);
    this.#weight += this.#weigh(value);
    this.#arrival.resolve();
    if (this.#weight >= this.#limit) await this.#room.promise;
  }

  /** Lets the reader end, after what was sent before; with an error, it ends with that. */
  close(failure?: { readonly error: unknown }): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#failure = failure;
    this.#arrival.resolve();
    this.#room.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    try {
      for (;;) {
        await this.#arrival.promise;
        const values = this.#take();
        yield* values;
        if (values.length > 0) continue;
        if (this.#failure !== undefined) throw this.#failure.error;
        if (this.#closed) return;
      }
    } finally {
      this.close();
      this.#take();
    }
  }

  #take(): T[] {
    const values = this.#values;
    this.#values = [];
    this.#weight = 0;
    if (!this.#closed) {
      this.#arrival = Promise.withResolvers();
      this.#room.resolve();
      this.#room = Promise.withResolvers();
    }
    return values;
  }
}
