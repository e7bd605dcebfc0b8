import { BuildError } from "@buildkit-ts/errdefs";
import { type Descriptor, formatReference, isIndexType, isManifestType, type Reference } from "@buildkit-ts/oci";
import type { HttpAnswer } from "./http-sender.ts";
import type { RegistryEndpoint } from "./registry-config.ts";
import { type RegistryExchange, type RegistryRequestOptions, unexpectedStatus } from "./registry-exchange.ts";
import { isConnectionFailure } from "./retry-policy.ts";
import { repositoryScope } from "./scopes.ts";

export interface BlobRequest {
  readonly exchange: RegistryExchange;
  readonly endpoints: readonly RegistryEndpoint[];
  readonly reference: Reference;
  readonly descriptor: Descriptor;
  readonly options: RegistryRequestOptions;
}

const maxFailuresInARow = 5;
const maxFailures = 100;

/**
 * The bytes of one blob from an offset on. A connection that breaks is taken up again where it broke. The caller
 * verifies the digest; more or fewer bytes than the descriptor says are an error here.
 *
 * Must be read to the end, or ended with `return` (as `for await` does), or aborted: it holds a place among the
 * registry's transfers.
 */
export class BlobStream implements AsyncIterableIterator<Uint8Array> {
  readonly #request: BlobRequest;
  readonly #permit: Disposable;
  readonly #onAbort = (): void => this.#release();
  #offset: number;
  #body: AsyncIterator<Buffer> | undefined;
  #answer: HttpAnswer | undefined;
  #failures = 0;
  #failuresInARow = 0;

  private constructor(request: BlobRequest, permit: Disposable, offset: number) {
    this.#request = request;
    this.#permit = permit;
    this.#offset = offset;
    request.options.signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** @throws {BuildError} `not_found`, when no endpoint has the blob. */
  static async open(request: BlobRequest, offset: number): Promise<BlobStream> {
    const permit = await request.exchange.acquire(request.reference.domain, "blob", request.options);
    const stream = new BlobStream(request, permit, offset);
    try {
      await stream.#connect();
      return stream;
    } catch (error) {
      stream.#release();
      throw error;
    }
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const { signal } = this.#request.options;
    for (;;) {
      signal.throwIfAborted();
      try {
        if (this.#body === undefined) await this.#connect();
        const chunk = await this.#body?.next();
        if (chunk !== undefined && chunk.done !== true) return this.#take(chunk.value);
        if (this.#isComplete()) {
          this.#release();
          return { done: true, value: undefined };
        }
        await this.#recover(new Error("the connection ended early"));
      } catch (error) {
        if (signal.aborted) this.#release();
        signal.throwIfAborted();
        await this.#recover(error);
      }
    }
  }

  return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#release();
    return Promise.resolve({ done: true, value: undefined });
  }

  #take(chunk: Buffer): IteratorResult<Uint8Array, undefined> {
    const { descriptor } = this.#request;
    this.#offset += chunk.length;
    this.#failuresInARow = 0;
    if (descriptor.size > 0 && this.#offset > descriptor.size) {
      this.#release();
      throw new BuildError(
        "data_loss",
        `Cannot read blob "${descriptor.digest}": it is larger than ${descriptor.size} bytes`,
      );
    }
    return { done: false, value: chunk };
  }

  #isComplete(): boolean {
    const { size } = this.#request.descriptor;
    return size <= 0 || this.#offset >= size;
  }

  /** Waits before the next attempt, or throws what cannot be repaired. */
  async #recover(error: unknown): Promise<void> {
    this.#answer?.drop();
    this.#answer = undefined;
    this.#body = undefined;
    this.#failures += 1;
    this.#failuresInARow += 1;
    const isFatal = error instanceof BuildError && error.code !== "unavailable";
    const isKnown =
      error instanceof BuildError || isConnectionFailure(error) || (error as Error).message.includes("ended early");
    if (isFatal || !isKnown || this.#failuresInARow >= maxFailuresInARow || this.#failures >= maxFailures) {
      this.#release();
      if (error instanceof BuildError) throw error;
      const { digest } = this.#request.descriptor;
      throw new BuildError("unavailable", `Cannot read blob "${digest}": ${(error as Error).message}`, {
        cause: error,
      });
    }
    const { exchange, options } = this.#request;
    await exchange.clock.sleep(Math.min(250 * 2 ** this.#failuresInARow, 8000), options);
  }

  async #connect(): Promise<void> {
    const answer = await openBlob(this.#request, this.#offset);
    this.#answer = answer;
    this.#body = answer.body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    if (this.#offset > 0 && answer.statusCode !== 206) await this.#skip(this.#offset);
  }

  /** For servers that ignore ranges and send all from the beginning. */
  async #skip(count: number): Promise<void> {
    for (let remaining = count; remaining > 0; ) {
      const chunk = await this.#body?.next();
      if (chunk === undefined || chunk.done === true)
        throw new BuildError(
          "data_loss",
          `Cannot read blob "${this.#request.descriptor.digest}": it is shorter than ${count} bytes`,
        );
      const { value } = chunk;
      if (value.length > remaining) this.#body = prepend(value.subarray(remaining), this.#body);
      remaining -= value.length;
    }
  }

  #release(): void {
    this.#answer?.drop();
    this.#request.options.signal.removeEventListener("abort", this.#onAbort);
    this.#permit[Symbol.dispose]();
  }
}

function prepend(first: Buffer, rest: AsyncIterator<Buffer> | undefined): AsyncIterator<Buffer> {
  let isFirst = true;
  return {
    next: async () => {
      if (!isFirst && rest !== undefined) return await rest.next();
      isFirst = false;
      return { done: false, value: first };
    },
  };
}

async function openBlob(request: BlobRequest, offset: number): Promise<HttpAnswer> {
  const { descriptor, reference, endpoints } = request;
  let failure: BuildError | undefined;
  for (const [index, endpoint] of [...foreignEndpoints(descriptor), ...endpoints].entries()) {
    try {
      const answer = await askForBlob(request, { ...endpoint, isLast: index >= endpoints.length - 1 }, offset);
      if (answer !== undefined) return answer;
    } catch (error) {
      if (!(error instanceof BuildError)) throw error;
      failure ??= error;
    }
  }
  throw (
    failure ??
    new BuildError(
      "not_found",
      `could not fetch content descriptor ${descriptor.digest} (${descriptor.mediaType}) from remote: not found`,
      { hint: `${formatReference(reference)} names content that its registry does not have` },
    )
  );
}

interface BlobPlace extends RegistryEndpoint {
  /** The whole URL, for content outside registries. */
  readonly url?: string;
}

/** Where a layer that may not be distributed lies, as its descriptor says. */
function foreignEndpoints(descriptor: Descriptor): BlobPlace[] {
  return (descriptor.urls ?? []).slice(0, 10).flatMap((text) => {
    const url = URL.parse(text);
    if (url === null || !/^https?:$/.test(url.protocol)) return [];
    const scheme = url.protocol === "https:" ? ("https" as const) : ("http" as const);
    return [{ host: url.host, path: "", canPush: false, scheme, tls: {}, namespace: undefined, url: url.href }];
  });
}

async function askForBlob(
  { exchange, descriptor, reference, options }: BlobRequest,
  place: BlobPlace & { readonly isLast: boolean },
  offset: number,
): Promise<HttpAnswer | undefined> {
  const { url, isLast, ...endpoint } = place;
  const kind = isManifestType(descriptor.mediaType) || isIndexType(descriptor.mediaType) ? "manifests" : "blobs";
  const anonymous = { ...options, credentials: { id: "", credentials: () => Promise.resolve(undefined) } };
  const headers: Record<string, string> = {
    accept: [descriptor.mediaType, "*/*"].filter((type) => type !== "").join(", "),
  };
  if (offset > 0) headers["range"] = `bytes=${offset}-`;
  const answer = await exchange.send(
    {
      endpoint,
      isLast,
      method: "GET",
      path: url ?? `/${reference.path}/${kind}/${descriptor.digest}`,
      headers,
      scopes: url === undefined ? [repositoryScope(reference.path, "pull")] : [],
    },
    url === undefined ? options : anonymous,
  );
  if (answer.statusCode === 404) {
    await answer.discard();
    return undefined;
  }
  const isPartial = answer.statusCode === 206 && (answer.header("content-range") ?? "").startsWith(`bytes ${offset}-`);
  if (answer.statusCode === 200 || isPartial) return answer;
  throw await unexpectedStatus(answer);
}
