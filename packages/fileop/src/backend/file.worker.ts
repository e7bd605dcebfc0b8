import { serveWorkerCalls } from "@buildkit-ts/async";
import type { AbortCheck } from "@buildkit-ts/sys";
import { applyAction } from "./apply-action.ts";
import type { FileRequest, FileResult } from "./file-request.ts";
import { lookUpOwner } from "./owner-lookup.ts";

serveWorkerCalls<FileRequest, FileResult>(async (request, call) => {
  if (request.verb === "resolveOwner") return lookUpOwner(request.owner, request.root);
  const checkAborted: AbortCheck = () => call.throwIfAborted();
  await applyAction(request.action, request.roots, checkAborted);
  return undefined;
});
