import { serveWorkerCalls } from "@buildkit-ts/async";
import { type ChangeRequest, changeDigests } from "./change-digests.ts";
import { type ChecksumRequest, checksumTree } from "./checksum-request.ts";
import { type BytesRequest, compareBytes, type ListRequest, listContent } from "./list-content.ts";
import { TreeMemory } from "./tree-memory.ts";

const memory = new TreeMemory();

serveWorkerCalls((request, call) => {
  const asked = request as
    | (ChecksumRequest & { readonly kind: "checksum" })
    | ListRequest
    | BytesRequest
    | ChangeRequest;
  const checkAborted = (): void => call.throwIfAborted();
  if (asked.kind === "list") return listContent(asked, checkAborted, memory);
  if (asked.kind === "bytes") return compareBytes(asked, checkAborted);
  if (asked.kind === "change") return changeDigests(asked, memory);
  return checksumTree(asked, checkAborted, memory);
});
