import { ownBytes, WorkerCalls, type WorkerCallsOptions } from "@buildkit-ts/async";
import { defaultUnpackLimits, type UnpackLimits } from "@buildkit-ts/compression";
import { BuildError } from "@buildkit-ts/errdefs";
import type { FileRequest, FileResult } from "./backend/file-request.ts";
import type { FileAction, FileBackend, FileRoots, Owner } from "./file-actions.ts";

/** How a {@linkcode ThreadedFileBackend} works. */
export interface ThreadedFileBackendOptions extends WorkerCallsOptions {
  /** What archives may become; {@linkcode defaultUnpackLimits} unless given. */
  readonly limits?: UnpackLimits;
}

/** Does file actions in worker threads, which start on demand and end when idle. */
export class ThreadedFileBackend implements FileBackend, AsyncDisposable {
  readonly #calls: WorkerCalls<FileRequest, FileResult>;
  readonly #limits: UnpackLimits;

  constructor(options: ThreadedFileBackendOptions = {}) {
    this.#limits = options.limits ?? defaultUnpackLimits;
    this.#calls = new WorkerCalls(new URL("./backend/file.worker.ts", import.meta.url).href, options);
  }

  async apply(
    action: FileAction,
    roots: FileRoots,
    options: { readonly signal: AbortSignal },
  ): Promise<BigUint64Array> {
    const sent = action.kind === "mkfile" ? { ...action, data: ownBytes(action.data) } : action;
    const result = await this.#calls.call({ verb: "apply", action: sent, roots, limits: this.#limits }, options);
    if (result.verb !== "apply") throw new BuildError("internal", "Cannot do file action: no result");
    return result.linked;
  }

  async resolveOwner(
    owner: { readonly user?: string | number; readonly group?: string | number },
    root: string | undefined,
  ): Promise<Owner> {
    const { signal } = new AbortController();
    const found = await this.#calls.call({ verb: "resolveOwner", owner, root }, { signal });
    if (found.verb !== "resolveOwner") throw new BuildError("internal", "Cannot look up owner: no result");
    return found.owner;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#calls[Symbol.asyncDispose]();
  }
}
