import type { ClientHttp2Stream } from "node:http2";
import { BuildError } from "@buildkit-ts/errdefs";
import type { ExpectedContent } from "./fsutil/content-weights.ts";
import { listSizes } from "./fsutil/list-sizes.ts";
import type { ReceiveResult } from "./fsutil/receive-options.ts";
import { receiveTree } from "./fsutil/receive-tree.ts";
import type { SessionCaller } from "./session.ts";
import { encodeOptions } from "./wire/metadata.ts";
import { streamOutcome } from "./wire/rpc-client.ts";

const diffCopy = "/moby.filesync.v1.FileSync/DiffCopy";

/** Which files of a client's directory to bring where. */
export interface ReceiveFilesRequest {
  /** The name that the client gave the directory: `context`, `dockerfile` … */
  readonly name: string;
  readonly includePatterns?: readonly string[];
  readonly excludePatterns?: readonly string[];
  /** Paths whose symbolic links the client resolves into include patterns. */
  readonly followPaths?: readonly string[];
  /**
   * An existing directory that nobody else uses meanwhile; a function is asked for it unless nothing has changed, and may give
   * that of the previous tree.
   */
  readonly destination: string | (() => Promise<string>);
  /** Another tree to compare with; what did not change gets a second name in the (empty) destination. */
  readonly previous?: string;
  /** The sync that made the previous tree did not come to its end. */
  readonly isUnfinished?: boolean;
  /** {@linkcode ReceiveResult.directoryXattrs} of that sync. */
  readonly previousXattrs?: string;
  /** Default `metadata`: only files whose metadata changed are asked for. */
  readonly differ?: "metadata" | "none";
  /** Overrides the owner of every entry; clients send 0:0. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** Compute digests of what comes, while it comes. */
  readonly digests?: boolean;
  /** Receive only files that match one of these patterns, and the metadata of all in `.fsutil-metadata`. */
  readonly onlyMatching?: readonly string[];
  /** Called with the bytes that came so far. */
  readonly onProgress?: (bytes: number) => void;
  /** Called when the client has listed its files, with what it is going to send; not if nothing has changed. */
  readonly onExpected?: (content: ExpectedContent) => void;
}

/**
 * Makes the destination equal to what the client has. When it ends, in whatever way, nothing is written any more.
 *
 * @throws {BuildError} what the client reports; `unimplemented`, if it shares no files; `unavailable`, if it goes.
 */
export async function receiveFiles(
  caller: SessionCaller,
  request: ReceiveFilesRequest,
  options: { readonly signal: AbortSignal },
): Promise<ReceiveResult> {
  if (!caller.supports(diffCopy)) throw new BuildError("unimplemented", "no local sources enabled");
  const signal = AbortSignal.any([options.signal, caller.closed]);
  signal.throwIfAborted();
  const metadata: Record<string, readonly string[]> = { "dir-name": [request.name] };
  if (request.includePatterns !== undefined) metadata["include-patterns"] = request.includePatterns;
  if (request.excludePatterns !== undefined) metadata["exclude-patterns"] = request.excludePatterns;
  if (request.followPaths !== undefined) metadata["followpaths"] = request.followPaths;
  const open = (): ClientHttp2Stream => caller.openStream(diffCopy, encodeOptions(metadata));
  const result = await transferFiles({ caller, stream: open() }, request, signal);
  if (result.unlisted.length > 0) await checkUnlisted(open(), new Set(result.unlisted), signal);
  return result;
}

async function transferFiles(
  { caller, stream }: { readonly caller: SessionCaller; readonly stream: ClientHttp2Stream },
  request: ReceiveFilesRequest,
  signal: AbortSignal,
): Promise<ReceiveResult> {
  const outcome = streamOutcome(stream, { signal });
  const { promise: failed, reject } = Promise.withResolvers<never>();
  outcome.catch(reject);
  const end = new AbortController();
  let transfer: Promise<ReceiveResult> | undefined;
  try {
    transfer = receiveTree(stream, {
      destination: request.destination,
      differ: request.differ ?? "metadata",
      merge: false,
      digests: request.digests === true,
      signal: AbortSignal.any([signal, end.signal]),
      divert: (onData) => caller.divert(stream, onData),
      ...(request.isUnfinished === true && { isUnfinished: true }),
      ...(request.previousXattrs !== undefined && { previousXattrs: request.previousXattrs }),
      ...(request.previous !== undefined && { previous: request.previous }),
      ...(request.owner !== undefined && { owner: request.owner }),
      ...(request.onlyMatching !== undefined && { onlyMatching: request.onlyMatching }),
      ...(request.onProgress !== undefined && { onProgress: request.onProgress }),
      ...(request.onExpected !== undefined && { onExpected: request.onExpected }),
    });
    transfer.catch(() => undefined);
    // The stream's own failure says more than that the transfer did not complete.
    const result = await Promise.race([preferFailure(transfer, failed), failed]);
    stream.end();
    await outcome;
    return result;
  } catch (error) {
    stream.close();
    end.abort(error);
    await transfer?.catch(() => undefined);
    throw error;
  }
}

/**
 * A file that was empty when it was listed and grew before it was sent looks like one more name of a file that was left out,
 * whose size is not listed either. Asked again, only the one that grew is listed with a size.
 */
async function checkUnlisted(
  stream: ClientHttp2Stream,
  paths: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<void> {
  const outcome = streamOutcome(stream, { signal });
  outcome.catch(() => undefined);
  try {
    const sizes = await listSizes(stream, paths, { signal });
    stream.end();
    await outcome;
    const grown = paths.values().find((path) => sizes.get(path) !== 0);
    if (grown === undefined) return;
    throw new BuildError(
      "failed_precondition",
      `Cannot receive file ${JSON.stringify(grown)}: it was listed with 0 bytes and more came`,
      { hint: "It changed while the tree was read" },
    );
  } catch (error) {
    stream.close();
    throw error;
  }
}

async function preferFailure<T>(transfer: Promise<T>, failed: Promise<never>): Promise<T> {
  try {
    return await transfer;
  } catch (error) {
    if (!(error instanceof BuildError) || error.code !== "unavailable") throw error;
    const late = new Promise<never>((_resolve, reject) => setTimeout(() => reject(error), 500).unref());
    return await Promise.race([failed, late]);
  }
}
