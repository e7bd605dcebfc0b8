/** So many turns of the event loop may be ahead before the peer has to wait. */
const maxTurns = 256;

/**
 * Gives bytes on in their order, and those after a cut in a later turn of the event loop than those before it.
 *
 * Node reads the frames of a socket with a turn for each of them. What it is given by another stream it reads at once: a call's
 * answer and its end, and nobody has begun to read the answer when the stream is closed, and with it gone.
 */
export class FrameTurns {
  readonly #give: (bytes: Buffer) => void;
  readonly #turns: Buffer[][] = [];
  #onEmpty: (() => void) | undefined;

  constructor(give: (bytes: Buffer) => void) {
    this.#give = give;
  }

  /** Whether more should not come now. */
  get isFull(): boolean {
    return this.#turns.length > maxTurns;
  }

  push(bytes: Buffer): void {
    const last = this.#turns.at(-1);
    if (last === undefined) this.#give(bytes);
    else last.push(bytes);
  }

  /** What comes now waits until something had the time to happen. */
  cut(): void {
    // What waits already, and has nothing before it, does not wait once more.
    if (this.#turns.at(-1)?.length === 0) return;
    this.#turns.push([]);
    if (this.#turns.length === 1) this.#schedule();
  }

  /** Calls once nothing waits any more. */
  whenEmpty(call: () => void): void {
    const before = this.#onEmpty;
    if (this.#turns.length === 0) call();
    else
      this.#onEmpty = () => {
        before?.();
        call();
      };
  }

  #schedule(): void {
    setImmediate(() => {
      const [turn = []] = this.#turns;
      for (const bytes of turn) this.#give(bytes);
      this.#turns.shift();
      if (this.#turns.length > 0) {
        this.#schedule();
        return;
      }
      const call = this.#onEmpty;
      this.#onEmpty = undefined;
      call?.();
    });
  }
}
