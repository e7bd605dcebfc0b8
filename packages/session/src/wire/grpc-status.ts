import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Status, StatusSchema } from "@buildkit-ts/api/google/rpc/status";
import { BuildError, type Code, codeFromNumber, codeNumber, codeOfFailedBuild } from "@buildkit-ts/errdefs";
import { detailsFromError } from "./error-details.ts";
import { RpcError } from "./rpc-error.ts";

/** The failure that trailers (or the headers of a trailers-only answer) tell of; undefined for success. */
export function errorFromTrailers(headers: IncomingHttpHeaders): RpcError | undefined {
  const status = Number(headers["grpc-status"]);
  if (status === 0) return undefined;
  const message = decodeMessage(String(headers["grpc-message"] ?? ""));
  const encoded = headers["grpc-status-details-bin"];
  const full = encoded === undefined ? undefined : decodeStatus(String(encoded));
  if (full === undefined || full.code === 0) return new RpcError(codeFromNumber(status), message);
  return errorFromStatus(full);
}

/** The failure that a `google.rpc.Status` describes. */
export function errorFromStatus(status: Status): RpcError {
  return new RpcError(codeFromNumber(status.code), status.message, {
    details: status.details.map((detail) => ({ typeUrl: detail.typeUrl, value: detail.value })),
  });
}

/** A failure as `google.rpc.Status`, with its typed details and those that a remote side gave. */
export function statusFromError(error: unknown): Status {
  const known = BuildError.from(error);
  const status = create(StatusSchema, { code: codeNumber(known.code), message: known.message });
  for (const { typeUrl, value } of detailsFromError(error)) {
    status.details.push({ $typeName: "google.protobuf.Any", typeUrl, value });
  }
  return status;
}

/** A failed build as `google.rpc.Status`: its text with the hint, and a code that Go's clients do not print. */
export function statusFromFailedBuild(error: unknown): Status {
  const { code, message, hint } = BuildError.from(error);
  const text = hint === undefined ? message : `${message} (${hint})`;
  return { ...statusFromError(error), code: codeNumber(codeOfFailedBuild(code)), message: text };
}

/** The failure that an answer without gRPC status tells of: a proxy's, or that of a server that speaks no gRPC. */
export function errorFromHttpStatus(status: number): RpcError {
  const byStatus: Readonly<Record<number, Code>> = {
    400: "internal",
    401: "unauthenticated",
    403: "permission_denied",
    404: "unimplemented",
    429: "unavailable",
    502: "unavailable",
    503: "unavailable",
    504: "unavailable",
  };
  return new RpcError(byStatus[status] ?? "unknown", `unexpected HTTP status code ${status}`);
}

/** Trailers for the outcome of a call; without an error, those of success. */
export function trailersFor(error?: unknown): OutgoingHttpHeaders {
  if (error === undefined) return { "grpc-status": "0" };
  const known = BuildError.from(error);
  const trailers: OutgoingHttpHeaders = {
    "grpc-status": String(codeNumber(known.code)),
    "grpc-message": encodeMessage(known.message),
  };
  if (known instanceof RpcError && known.details.length > 0) {
    trailers["grpc-status-details-bin"] = Buffer.from(toBinary(StatusSchema, statusFromError(known)))
      .toString("base64")
      .replace(/=+$/, "");
  }
  return trailers;
}

function decodeStatus(base64: string): Status | undefined {
  try {
    return fromBinary(StatusSchema, Buffer.from(base64, "base64"));
  } catch {
    // The plain code and message are still there; a malformed detail must not hide them.
    return undefined;
  }
}

function encodeMessage(message: string): string {
  let text = "";
  for (const byte of Buffer.from(message)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    text += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return text;
}

function decodeMessage(text: string): string {
  const bytes = text.replaceAll(/%([0-9a-f]{2})/gi, (_all, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, "latin1").toString("utf8");
}
