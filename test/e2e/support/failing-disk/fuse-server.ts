// A file system that shows a directory, and fails when it is told to. A process of its own: whoever uses it waits for it.
import { openSync, read, writeSync } from "node:fs";
import { errnoNumber, MNT_DETACH, mountSync, umountSync } from "@buildkit-ts/sys";
import { decodeRequest, encodeAnswer, type FuseRequest } from "./fuse-codec.ts";
import { FuseNodes } from "./fuse-nodes.ts";
import { type FuseKind, opcodesOfKind } from "./fuse-opcodes.ts";
import { operations, requestBytes } from "./fuse-operations.ts";

/** What fails from now on; undefined for nothing. */
export interface FuseFault {
  readonly kind: FuseKind | "any";
  /** The first so many succeed. */
  readonly after: number;
  /** From then on one of so many fails. */
  readonly every: number;
}

const EIO = 5;
const ENOSYS = 38;
const EINVAL = 22;

let fault: FuseFault | undefined;
let met = 0;

function fails(opcode: number): boolean {
  if (fault === undefined) return false;
  const { kind } = fault;
  const codes = kind === "any" ? Object.values(opcodesOfKind).flat() : opcodesOfKind[kind];
  if (!codes.includes(opcode)) return false;
  met += 1;
  return met > fault.after && (met - fault.after - 1) % fault.every === 0;
}

function answer(request: FuseRequest, nodes: FuseNodes): { readonly errno: number; readonly body: Buffer } | undefined {
  const body = Buffer.alloc(0);
  if (fails(request.opcode)) return { errno: EIO, body };
  const operation = operations.get(request.opcode);
  if (operation === undefined) return { errno: ENOSYS, body };
  try {
    const given = operation(request, nodes);
    return given === undefined ? undefined : { errno: 0, body: given };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    return { errno: errnoNumber(code) ?? EINVAL, body };
  }
}

function serve(fd: number, nodes: FuseNodes): void {
  const buffer = Buffer.alloc(requestBytes);
  read(fd, buffer, 0, buffer.length, null, (error, length) => {
    // Unmounted.
    if (error?.code === "ENODEV") process.exit(0);
    // A request that was interrupted before it could be read.
    if (error === null) {
      const request = decodeRequest(buffer.subarray(0, length));
      const given = answer(request, nodes);
      if (given !== undefined) send(fd, encodeAnswer(request.unique, given));
    } else if (error.code !== "ENOENT" && error.code !== "EINTR") throw error;
    serve(fd, nodes);
  });
}

function send(fd: number, bytes: Buffer): void {
  try {
    writeSync(fd, bytes);
  } catch (error) {
    // Whoever asked has been killed meanwhile.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

const [source = "", target = ""] = process.argv.slice(2);
const fd = openSync("/dev/fuse", "r+");
const data = `fd=${fd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions`;
const nodes = new FuseNodes(source);
process.umask(0);
mountSync({ source: "failing-disk", target, type: "fuse", flags: 0, data });
process.on("message", (message: { readonly fault: FuseFault | undefined }) => {
  fault = message.fault;
  met = 0;
  process.send?.("done");
});
// Whoever started this has ended without a word.
process.on("disconnect", () => {
  umountSync(target, MNT_DETACH);
  process.exit(0);
});
process.send?.("mounted");
serve(fd, nodes);
