import { encodeTarHeader, tarEnd } from "./encode-header.ts";
import { malformed } from "./malformed.ts";
import { TarDecoder } from "./tar-decoder.ts";
import { type TarHeader, tarPadding } from "./tar-header.ts";

/** An entry with its content: `size` bytes for a file, none for all others. */
export interface TarEntry {
  readonly header: TarHeader;
  readonly content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/**
 * The archive of these entries, in their order.
 *
 * @throws {BuildError} `invalid_argument`, when a content has not as many bytes as its header states.
 */
export async function* encodeTar(
  entries: AsyncIterable<TarEntry> | Iterable<TarEntry>,
  options: { readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array, void> {
  for await (const { header, content } of entries) {
    options.signal.throwIfAborted();
    yield encodeTarHeader(header);
    let written = 0;
    for await (const chunk of content) {
      options.signal.throwIfAborted();
      written += chunk.length;
      if (written > header.size) break;
      yield chunk;
    }
    if (written !== header.size)
      throw malformed(`the content of "${header.name.slice(0, 300)}" has not the stated size`);
    if (tarPadding(written) > 0) yield new Uint8Array(tarPadding(written));
  }
  yield tarEnd;
}

/** A part of a content: bytes, or so many zeros that the archive does not hold. */
export type TarPiece = Uint8Array | { readonly holeBytes: number };

/** An entry that is read. Either the content is read, or the pieces of it. */
export interface DecodedTarEntry extends TarEntry {
  readonly pieces: AsyncIterable<TarPiece>;
}

type TarEvent =
  | { readonly kind: "entry"; readonly header: TarHeader }
  | { readonly kind: "piece"; readonly piece: TarPiece }
  | { readonly kind: "end" };

/**
 * The entries of an archive. The content of an entry must be read before the next entry is asked for; what was not
 * read is skipped. For synchronous work, such as in a worker thread, use {@linkcode TarDecoder} itself.
 *
 * @throws {BuildError} `invalid_argument`, for bytes that are no archive.
 */
export async function* decodeTar(
  source: AsyncIterable<Uint8Array>,
  options: { readonly signal: AbortSignal },
): AsyncGenerator<DecodedTarEntry, void> {
  const events = tarEvents(source, options.signal);
  try {
    for (let event = await events.next(); event.done !== true; event = await events.next()) {
      if (event.value.kind !== "entry") continue;
      const pieces = piecesOf(events);
      yield { header: event.value.header, pieces, content: fillHoles(pieces) };
      // An unread rest would otherwise be taken for the next entry's.
      for await (const _piece of pieces) options.signal.throwIfAborted();
    }
  } finally {
    await events.return();
  }
}

async function* piecesOf(events: AsyncGenerator<TarEvent, void>): AsyncGenerator<TarPiece, void> {
  let complete = false;
  try {
    while (!complete) {
      const { value } = await events.next();
      if (value?.kind === "piece") yield value.piece;
      else complete = true;
    }
  } finally {
    // Whoever stops early leaves the rest of the content in the stream.
    while (!complete) complete = (await events.next()).value?.kind !== "piece";
  }
}

const zeros = new Uint8Array(1 << 16);

async function* fillHoles(pieces: AsyncIterable<TarPiece>): AsyncGenerator<Uint8Array, void> {
  for await (const piece of pieces) {
    if (piece instanceof Uint8Array) yield piece;
    else yield* zerosOf(piece.holeBytes);
  }
}

/** The zeros that a hole stands for, in pieces of bounded size. */
export function* zerosOf(length: number): Generator<Uint8Array, void> {
  for (let rest = length; rest > 0; rest -= zeros.length) yield rest < zeros.length ? zeros.subarray(0, rest) : zeros;
}

async function* tarEvents(source: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<TarEvent, void> {
  const queue: TarEvent[] = [];
  const decoder = new TarDecoder({
    entry: (header) => queue.push({ kind: "entry", header }),
    data: (piece) => queue.push({ kind: "piece", piece }),
    hole: (holeBytes) => queue.push({ kind: "piece", piece: { holeBytes } }),
    end: () => queue.push({ kind: "end" }),
  });
  for await (const chunk of source) {
    signal.throwIfAborted();
    decoder.write(chunk);
    yield* queue.splice(0);
  }
  decoder.finish();
}
