import { serveWorkerCalls } from "@buildkit-ts/async";
import { AT_FDCWD, removeTreeAt } from "@buildkit-ts/sys";
import { copyTree } from "./copy-tree.ts";
import { measureTree } from "./measure-tree.ts";
import { mergeTrees } from "./merge-trees.ts";
import type { TreeRequest, TreeResult } from "./tree-request.ts";

serveWorkerCalls<TreeRequest, TreeResult>((request, call) => {
  const checkAborted = (): void => call.throwIfAborted();
  switch (request.verb) {
    case "measure":
      return request.paths.map((path) => measureTree(path, checkAborted));
    case "remove":
      removeTreeAt({ fd: AT_FDCWD, path: request.path }, checkAborted);
      return undefined;
    case "copy":
      copyTree(request.from, request.to, checkAborted);
      return undefined;
    case "merge":
      mergeTrees(request, checkAborted);
      return undefined;
    default:
      return request satisfies never;
  }
});
