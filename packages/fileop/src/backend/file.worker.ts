import { serveWorkerCalls } from "@buildkit-ts/async";
import type { AbortCheck } from "@buildkit-ts/sys";
import { applyAction } from "./apply-action.ts";
import type { FileRequest, FileResult } from "./file-request.ts";
import { lookUpOwner } from "./owner-lookup.ts";

serveWorkerCalls<FileRequest, FileResult>(async (request, call) => {
  const { verb } = request;
  if (verb === "resolveOwner") return { verb, owner: lookUpOwner(request.owner, request.root) };
  const checkAborted: AbortCheck = () => call.throwIfAborted();
  const { action, roots, limits } = request;
  return { verb, linked: await applyAction(action, roots, { checkAborted, limits }) };
});
