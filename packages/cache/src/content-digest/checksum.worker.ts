import { serveWorkerCalls } from "@buildkit-ts/async";
import { type ChecksumRequest, checksumTree } from "./checksum-request.ts";

serveWorkerCalls((request, call) => checksumTree(request as ChecksumRequest, () => call.throwIfAborted()));
