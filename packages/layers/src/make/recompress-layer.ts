import { createReadStream, statSync } from "node:fs";
import { decompress, UnpackBudget, type UnpackLimits } from "@buildkit-ts/compression";
import { encodeTarHeader, TarDecoder, type TarHeader, tarEnd, tarPadding, zerosOf } from "@buildkit-ts/tar";
import { SparseFilesError } from "../stargz/stargz-compressor.ts";
import { findStargzPayload } from "../stargz/stargz-footer.ts";
import { LayerOutput, type LayerOutputOptions, type WrittenLayer } from "./layer-output.ts";

export interface RecompressTask {
  readonly output: Omit<LayerOutputOptions, "checkAborted">;
  readonly blobPath: string;
  readonly latestSeconds?: number;
  readonly limits: UnpackLimits;
}

/**
 * Writes a layer blob anew in another compression. The DiffID stays, unless times are clamped, or one of the two is eStargz,
 * whose table of contents counts as part of its archive, and which has no sparse files: they get their zeros.
 */
export async function recompressLayer(task: RecompressTask, checkAborted: () => void): Promise<WrittenLayer> {
  try {
    return await writeAnew(task, checkAborted);
  } catch (error) {
    if (!(error instanceof SparseFilesError)) throw error;
    // Layers with sparse files are rare: all others need not be read to know that they have none.
    return await writeAnew({ ...task, latestSeconds: Number.POSITIVE_INFINITY }, checkAborted);
  }
}

async function writeAnew(task: RecompressTask, checkAborted: () => void): Promise<WrittenLayer> {
  using output = new LayerOutput({ ...task.output, checkAborted });
  const { signal } = new AbortController();
  const payload = findStargzPayload(task.blobPath);
  const end = payload === undefined ? {} : { end: payload - 1 };
  const packed = decompress(createReadStream(task.blobPath, { highWaterMark: 1 << 20, ...end }), { signal });
  const budget = new UnpackBudget(task.limits, statSync(task.blobPath).size);
  const bytes = counted(packed, budget);
  if (task.latestSeconds === undefined) {
    for await (const chunk of bytes) await output.append(chunk);
  } else {
    const latestSeconds = task.latestSeconds;
    await clampTimes(bytes, output, { latestSeconds, onHole: (length) => budget.addBytes(length) });
  }
  return { ...(await output.finish()), isPayloadOfStargz: payload !== undefined };
}

async function* counted(bytes: AsyncIterable<Uint8Array>, budget: UnpackBudget): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of bytes) {
    budget.addBytes(chunk.length);
    yield chunk;
  }
}

/** Sparse files get their zeros: there is one way to write an entry anew. */
async function clampTimes(
  bytes: AsyncIterable<Uint8Array>,
  output: LayerOutput,
  { latestSeconds, onHole }: { readonly latestSeconds: number; readonly onHole: (length: number) => void },
): Promise<void> {
  const ready: Iterable<Uint8Array>[] = [];
  let size = 0;
  const decoder = new TarDecoder({
    entry: (header) => {
      ({ size } = header);
      ready.push([encodeTarHeader(clamp(header, latestSeconds))]);
    },
    data: (chunk) => void ready.push([chunk]),
    hole: (length) => {
      onHole(length);
      ready.push(zerosOf(length));
    },
    end: () => void ready.push([new Uint8Array(tarPadding(size))]),
  });
  for await (const chunk of bytes) {
    decoder.write(chunk);
    for (const parts of ready.splice(0)) for (const part of parts) await output.append(part);
  }
  decoder.finish();
  await output.append(tarEnd);
}

function clamp(header: TarHeader, latestSeconds: number): TarHeader {
  const { mtimeNanoseconds: _clamped, ...rest } = header;
  if (header.mtimeSeconds < latestSeconds) return header;
  return { ...rest, mtimeSeconds: latestSeconds };
}
