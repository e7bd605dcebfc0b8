import type { Clock } from "@buildkit-ts/async";

const firstDelayMs = 500;
const longestDelayMs = 60_000;

/**
 * Containers of which something is left although they ended, since the disk, or the runtime, failed just then. They are removed
 * as soon as that works again; until then it is tried less and less often.
 */
export class LeftoverContainers implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #remove: (id: string) => Promise<void>;
  readonly #ids = new Set<string>();
  readonly #stopped = new AbortController();
  #trying: Promise<void> | undefined;

  /** @param remove Removes all that a container may have left; rejects where it cannot. */
  constructor(clock: Clock, remove: (id: string) => Promise<void>) {
    this.#clock = clock;
    this.#remove = remove;
  }

  add(id: string): void {
    this.#ids.add(id);
    this.#try();
  }

  #try(): void {
    this.#trying ??= this.#tryUntilGone().finally(() => {
      this.#trying = undefined;
      // One that came when the last was gone.
      if (this.#ids.size > 0 && !this.#stopped.signal.aborted) this.#try();
    });
  }

  async #tryUntilGone(): Promise<void> {
    const { signal } = this.#stopped;
    for (let delayMs = firstDelayMs; this.#ids.size > 0; delayMs = Math.min(2 * delayMs, longestDelayMs)) {
      try {
        await this.#clock.sleep(delayMs, { signal });
      } catch {
        // The next start removes what is left.
        return;
      }
      for (const id of this.#ids) if (await this.#isRemoved(id)) this.#ids.delete(id);
    }
  }

  async #isRemoved(id: string): Promise<boolean> {
    return await this.#remove(id).then(
      () => true,
      // The build has said what is wrong.
      () => false,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort(new DOMException("The executor is disposed", "AbortError"));
    await this.#trying;
  }
}
