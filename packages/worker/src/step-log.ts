import type { ProgressWriter } from "@buildkit-ts/progress";

/** How much of a step's output clients are shown. -1 is no limit. */
export interface StepLogLimits {
  readonly maxBytes: number;
  readonly maxBytesPerSecond: number;
}

const defaults: StepLogLimits = { maxBytes: 2 * 1024 * 1024, maxBytesPerSecond: 200 * 1024 };
/** What of the clipped end is kept, to be shown if the step fails. */
const tailBytes = 256 * 1024;

/** Limits from `BUILDKIT_STEP_LOG_MAX_SIZE` and `BUILDKIT_STEP_LOG_MAX_SPEED`, in bytes. */
export function stepLogLimits(env: Readonly<Record<string, string | undefined>>): StepLogLimits {
  const read = (name: string, fallback: number): number => {
    const text = env[name] ?? "";
    return /^-?\d{1,10}$/.test(text) ? Number(text) : fallback;
  };
  return {
    maxBytes: read("BUILDKIT_STEP_LOG_MAX_SIZE", defaults.maxBytes),
    maxBytesPerSecond: read("BUILDKIT_STEP_LOG_MAX_SPEED", defaults.maxBytesPerSecond),
  };
}

/**
 * Passes one stream of a step's output on, up to the limits; says where it was cut, and keeps the end for {@linkcode flush}.
 */
export class StepLog {
  readonly #write: (data: Uint8Array) => void;
  readonly #limits: StepLogLimits;
  readonly #now: () => number;
  readonly #started: number;
  #size = 0;
  #clipping = false;
  #tail: Tail | undefined;

  constructor(
    write: (data: Uint8Array) => void,
    options: { readonly limits?: StepLogLimits; readonly now?: () => number } = {},
  ) {
    this.#write = write;
    this.#limits = options.limits ?? defaults;
    this.#now = options.now ?? Date.now;
    this.#started = this.#now();
  }

  write(data: Uint8Array): void {
    const { allowed, reason } = this.#allowance(data.length);
    if (this.#tail === undefined && allowed < data.length) this.#tail = new Tail(tailBytes);
    this.#tail?.push(data);
    if (allowed > 0) this.#write(data.subarray(0, allowed));
    const cut = allowed < data.length;
    if (cut && !this.#clipping) this.#write(Buffer.from(`\n[output clipped, log limit ${reason} reached]\n`));
    this.#clipping = cut;
  }

  /** Shows the end of what was clipped: for a step that failed. */
  flush(): void {
    const rest = this.#tail?.take();
    if (rest !== undefined && rest.length > 0) this.#write(rest);
    this.#tail = undefined;
  }

  #allowance(length: number): { readonly allowed: number; readonly reason: string } {
    const before = this.#size;
    this.#size += length;
    const { maxBytes, maxBytesPerSecond } = this.#limits;
    let limit = -1;
    let reason = `${formatBytes(maxBytesPerSecond)}/s`;
    if (maxBytesPerSecond !== -1) limit = Math.ceil((this.#now() - this.#started) / 1000) * maxBytesPerSecond;
    if (limit === -1 || limit > maxBytes) {
      limit = maxBytes;
      reason = formatBytes(maxBytes);
    }
    if (limit === -1) return { allowed: length, reason };
    return { allowed: Math.max(0, Math.min(length, limit - before)), reason };
  }
}

/** The last bytes of a stream. */
class Tail {
  readonly #limit: number;
  #chunks: Uint8Array[] = [];
  #size = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  push(data: Uint8Array): void {
    this.#chunks.push(data);
    this.#size += data.length;
    // Joined now and then only, so that many small chunks cost little.
    if (this.#size > 2 * this.#limit || this.#chunks.length > 10_000) {
      const joined = this.take();
      this.#chunks = [joined];
      this.#size = joined.length;
    }
  }

  take(): Uint8Array {
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [];
    this.#size = 0;
    return joined.subarray(Math.max(0, joined.length - this.#limit));
  }
}

function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number(value.toPrecision(6))}${units[unit]}`;
}

/** Both streams of one step. */
export function createStepLogs(
  progress: ProgressWriter,
  limits: StepLogLimits,
): { write(stream: 1 | 2, data: Uint8Array): void; flush(): void } {
  const create = (stream: 1 | 2): StepLog => new StepLog((data) => progress.log(stream, data), { limits });
  const logs = { 1: create(1), 2: create(2) };
  return {
    write: (stream, data) => logs[stream].write(data),
    flush: () => {
      logs[1].flush();
      logs[2].flush();
    },
  };
}
