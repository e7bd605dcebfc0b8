import { promisify } from "node:util";
import { constants, zstdCompress, zstdDecompress } from "node:zlib";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { controlpb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";

/** What is kept of one build's progress; beyond it only step output is dropped, never the state of a step. */
const maxLogBytes = 32 << 20;

/** From here on a log is stored compressed; most builds' are smaller. */
const minPackedBytes = 64 << 10;
/** More than any log is; what claims to be more is damaged. */
const maxUnpackedBytes = 512 << 20;
/** How zstd's frames begin. As the length of the first message it would be 4 GB. */
const zstdMagic = 0xfd2fb528;
const fast = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** Collects a build's status messages in the framing of `application/vnd.buildkit.status.v0`. */
export class StatusLog {
  readonly #frames: Uint8Array[] = [];
  #bytes = 0;

  add(response: controlpb.StatusResponse): void {
    const kept = this.#bytes > maxLogBytes ? { ...response, logs: [] } : response;
    const bytes = toBinary(controlpb.StatusResponseSchema, kept);
    const header = Buffer.alloc(4);
    header.writeUInt32LE(bytes.length);
    this.#frames.push(header, bytes);
    this.#bytes += header.length + bytes.length;
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.#frames);
  }
}

/** A log as it is stored. The logs of large graphs say the same again and again, and shrink to a fourth. */
export async function packLog(log: Uint8Array): Promise<Uint8Array> {
  return log.length < minPackedBytes ? log : await promisify(zstdCompress)(log, fast);
}

/** A log as it was before {@linkcode packLog}. @throws {BuildError} `data_loss`, for one that is damaged. */
export async function unpackLog(stored: Uint8Array): Promise<Uint8Array> {
  const isPacked = stored.length >= 4 && Buffer.from(stored.buffer, stored.byteOffset, 4).readUInt32LE() === zstdMagic;
  if (!isPacked) return stored;
  try {
    return await promisify(zstdDecompress)(stored, { maxOutputLength: maxUnpackedBytes });
  } catch (cause) {
    throw new BuildError("data_loss", "Cannot read the progress of a build: its log is damaged", { cause });
  }
}

/** The messages of a stored log; a truncated end is left out. */
export function* statusMessages(log: Uint8Array): Iterable<controlpb.StatusResponse> {
  const view = new DataView(log.buffer, log.byteOffset, log.byteLength);
  for (let offset = 0; offset + 4 <= log.length; ) {
    const length = view.getUint32(offset, true);
    offset += 4;
    if (offset + length > log.length) return;
    yield fromBinary(controlpb.StatusResponseSchema, log.subarray(offset, offset + length));
    offset += length;
  }
}
