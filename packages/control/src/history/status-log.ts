import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { controlpb } from "@buildkit-ts/api";

/** What is kept of one build's progress; beyond it only step output is dropped, never the state of a step. */
const maxLogBytes = 32 << 20;

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
