import { toBinary } from "@bufbuild/protobuf";
import { rpcpb } from "@buildkit-ts/api";

const maxTextLength = 32_000;
const cut = " … ";
/** Trailers are a header block: more than a megabyte of them, spelled in base64, is no answer any more but a broken stream. */
const maxStatusBytes = 500_000;

/** A text short enough for an answer's trailers, with its beginning and its end. */
export function clipText(text: string): string {
  if (text.length <= maxTextLength) return text;
  const half = (maxTextLength - cut.length) / 2;
  return `${text.slice(0, half)}${cut}${text.slice(-half)}`.toWellFormed();
}

/** A status small enough for an answer's trailers: of its details the largest are left out, as long as that is needed. */
export function clipStatus(status: rpcpb.Status): rpcpb.Status {
  const kept = { ...status, message: clipText(status.message), details: [...status.details] };
  while (toBinary(rpcpb.StatusSchema, kept).length > maxStatusBytes) {
    const sizes = kept.details.map(({ value }) => value.length);
    kept.details.splice(sizes.indexOf(Math.max(...sizes)), 1);
  }
  return kept;
}
