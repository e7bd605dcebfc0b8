import { serveWorkerCalls } from "@buildkit-ts/async";
import { type ChecksumRequest, checksumTree } from "./checksum-request.ts";
import { type BytesRequest, compareBytes, type ListRequest, listContent } from "./list-content.ts";

serveWorkerCalls((request, call) => {
  const asked = request as (ChecksumRequest & { readonly kind: "checksum" }) | ListRequest | BytesRequest;
  const checkAborted = (): void => call.throwIfAborted();
  if (asked.kind === "list") return listContent(asked, checkAborted);
  if (asked.kind === "bytes") return compareBytes(asked, checkAborted);
  return checksumTree(asked, checkAborted);
});
