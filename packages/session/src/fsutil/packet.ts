import { BuildError } from "@buildkit-ts/errdefs";
import { FieldReader } from "./field-reader.ts";
import type { FileStat } from "./file-stat.ts";

/** `fsutil.types.Packet`. Read here, and written by `PacketWriter`, by hand: a context of 1 GB is 28,000 of them. */
export type Packet =
  | { readonly type: "stat"; readonly stat: FileStat | undefined }
  | { readonly type: "request"; readonly id: number }
  | { readonly type: "data"; readonly id: number; readonly data: Buffer }
  | { readonly type: "fin" }
  | { readonly type: "error"; readonly message: string };

const packetTypes = ["stat", "request", "data", "fin", "error"] as const;
const emptyBuffer: Buffer = Buffer.alloc(0);

/** @throws {BuildError} `invalid_argument`, for bytes that are no packet. */
export function decodePacket(message: Buffer): Packet {
  const reader = new FieldReader(message);
  let type = 0;
  let stat: FileStat | undefined;
  let id = 0;
  let data: Buffer = emptyBuffer;
  while (reader.next()) {
    if (reader.field === 1) type = reader.number();
    else if (reader.field === 2) stat = decodeStat(reader.nested());
    else if (reader.field === 3) id = reader.number();
    else if (reader.field === 4) data = reader.bytes();
    else reader.skip();
  }
  const kind = packetTypes[type];
  switch (kind) {
    case "stat":
      return { type: kind, stat };
    case "request":
      return { type: kind, id };
    case "data":
      return { type: kind, id, data };
    case "fin":
      return { type: kind };
    case "error":
      return { type: kind, message: data.toString("utf8") };
    case undefined:
      throw new BuildError("invalid_argument", `Cannot read packet: type ${type} is unknown`);
    default:
      return kind satisfies never;
  }
}

function decodeStat(reader: FieldReader): FileStat {
  const stat: FileStat = {
    path: "",
    mode: 0,
    uid: 0,
    gid: 0,
    size: 0,
    modTime: 0n,
    linkName: "",
    devMajor: 0,
    devMinor: 0,
    xattrs: undefined,
  };
  let xattrs: Map<string, Uint8Array> | undefined;
  while (reader.next()) {
    if (reader.field === 10) {
      xattrs ??= new Map();
      xattrs.set(...readXattr(reader.nested()));
    } else readStatField(stat, reader);
  }
  stat.xattrs = xattrs;
  return stat;
}

function readStatField(stat: FileStat, reader: FieldReader): void {
  switch (reader.field) {
    case 1:
      // Go's senders send names as they are, and they need not be UTF-8.
      stat.path = reader.name();
      return;
    case 2:
      stat.mode = reader.number() >>> 0;
      return;
    case 3:
      stat.uid = reader.number() >>> 0;
      return;
    case 4:
      stat.gid = reader.number() >>> 0;
      return;
    case 5:
      stat.size = reader.integer();
      return;
    case 6:
      stat.modTime = reader.int64();
      return;
    case 7:
      stat.linkName = reader.name();
      return;
    case 8:
      stat.devMajor = reader.integer();
      return;
    case 9:
      stat.devMinor = reader.integer();
      return;
    default:
      reader.skip();
  }
}

function readXattr(reader: FieldReader): [string, Uint8Array] {
  let key = "";
  let value: Buffer = emptyBuffer;
  while (reader.next()) {
    if (reader.field === 1) key = reader.bytes().toString("utf8");
    else if (reader.field === 2) value = reader.bytes();
    else reader.skip();
  }
  // The value outlives the message, whose buffer may be large.
  return [key, Uint8Array.from(value)];
}
