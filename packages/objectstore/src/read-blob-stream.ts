import { addAbortSignal, type Readable } from "node:stream";
import { type Clock, systemClock } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Descriptor } from "@buildkit-ts/oci";

/** Asks for a blob's bytes from an offset on. Failures must be {@linkcode BuildError}s. */
export type OpenAt = (offset: number, options: { readonly signal: AbortSignal }) => Promise<Readable>;

/** How {@linkcode readBlobStream} reads. */
export interface ReadOptions {
  readonly signal: AbortSignal;
  readonly offset?: number;
  readonly clock?: Clock;
  /** Without a byte for so long, a connection counts as broken; default one minute. */
  readonly idleMs?: number;
}

const maxFailuresInARow = 5;

/**
 * The bytes of a blob from an offset on. A connection that breaks, or says nothing any more, is taken up where it broke.
 *
 * @throws {BuildError} what `openAt` throws the first time; while reading, `unavailable` after some attempts, and
 *   `data_loss` for more bytes than the descriptor says.
 */
export async function readBlobStream(
  descriptor: Descriptor,
  openAt: OpenAt,
  options: ReadOptions,
): Promise<AsyncIterable<Uint8Array>> {
  const { offset = 0 } = options;
  // Nothing is left, and a range behind the end is an error everywhere.
  if (offset >= descriptor.size) return nothing();
  const first = await openAt(offset, options);
  // What goes wrong before somebody reads is told when somebody does.
  first.on("error", () => undefined);
  return readOn(descriptor, { openAt, offset, first }, options);
}

async function* nothing(): AsyncGenerator<Uint8Array, void> {}

async function* readOn(
  descriptor: Descriptor,
  start: { readonly openAt: OpenAt; readonly offset: number; readonly first: Readable },
  options: ReadOptions,
): AsyncGenerator<Uint8Array, void> {
  const { signal, clock = systemClock, idleMs = 60_000 } = options;
  let offset = start.offset;
  let body: Readable | undefined = start.first;
  for (let failures = 0; offset < descriptor.size; ) {
    try {
      body ??= await start.openAt(offset, options);
      for await (const chunk of withIdleLimit(body, { signal, idleMs })) {
        offset += chunk.length;
        if (offset > descriptor.size) throw tooLarge(descriptor);
        failures = 0;
        yield chunk;
      }
      if (offset < descriptor.size) throw new BuildError("unavailable", "the connection ended early");
    } catch (error) {
      signal.throwIfAborted();
      body = undefined;
      failures += 1;
      const { code, message } = BuildError.from(error);
      const isPassing = !(error instanceof BuildError) || code === "unavailable";
      if (!isPassing) throw error;
      if (failures >= maxFailuresInARow)
        throw new BuildError("unavailable", `Cannot read blob "${descriptor.digest}": ${message}`, { cause: error });
      await clock.sleep(Math.min(250 * 2 ** failures, 8000), { signal });
    }
  }
}

/** A body that is destroyed by the signal, by silence, and by whoever stops reading it. */
async function* withIdleLimit(
  body: Readable,
  { signal, idleMs }: { readonly signal: AbortSignal; readonly idleMs: number },
): AsyncGenerator<Buffer, void> {
  addAbortSignal(signal, body);
  const onSilence = (): void => {
    body.destroy(new BuildError("unavailable", `no data for ${idleMs / 1000} seconds`));
  };
  let timer = setTimeout(onSilence, idleMs);
  try {
    for await (const chunk of body) {
      // The time that the reader takes is no silence.
      clearTimeout(timer);
      yield chunk as Buffer;
      timer = setTimeout(onSilence, idleMs);
    }
  } finally {
    clearTimeout(timer);
    body.destroy();
  }
}

function tooLarge({ digest, size }: Descriptor): BuildError {
  return new BuildError("data_loss", `Cannot read blob "${digest}": it is larger than ${size} bytes`);
}

/** All bytes of a small object. @throws {BuildError} `resource_exhausted`, for more than {@linkcode maxIndexBytes}. */
export async function readSmall(
  body: Readable,
  noun: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of withIdleLimit(body, { signal, idleMs: 60_000 })) {
    size += chunk.length;
    if (size > maxIndexBytes)
      throw new BuildError("resource_exhausted", `Cannot read ${noun}: more than ${maxIndexBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Larger indexes are refused: they are held in memory as a whole. */
export const maxIndexBytes: number = 64 << 20;
