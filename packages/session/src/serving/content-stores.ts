import type { ServerHttp2Stream } from "node:http2";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  Content,
  ListContentResponseSchema,
  ReadContentRequestSchema,
  ReadContentResponseSchema,
  WriteAction,
  type WriteContentRequest,
  WriteContentRequestSchema,
  WriteContentResponseSchema,
} from "@buildkit-ts/api/containerd/content";
import { BuildError } from "@buildkit-ts/errdefs";
import { drained } from "../wire/drained.ts";
import { FrameReader, frameMessage } from "../wire/grpc-frames.ts";
import type { CallContext } from "../wire/rpc-server.ts";
import type { BlobDirectory, BlobIngest, StoredBlob } from "./blob-directory.ts";
import type { Attachable } from "./client-session.ts";

/** Blobs named in one answer to a list. */
const listPage = 100;

/** Lets the daemon read and write blobs of directories, by the name it puts into its calls. */
export function shareContentStores(stores: ReadonlyMap<string, BlobDirectory>): Attachable {
  const choose = ({ metadata }: CallContext): BlobDirectory => {
    const id = metadata["buildkit-attachable-store-id"]?.[0];
    if (id === undefined) {
      throw new BuildError("invalid_argument", 'request lacks metadata "buildkit-attachable-store-id"');
    }
    const store = stores.get(id);
    if (store === undefined) throw new BuildError("not_found", `unknown store ${id}: not found`);
    return store;
  };
  return (server) => {
    server.handleUnary(Content.method.info, async ({ digest }, context) => {
      return { info: infoOf(await choose(context).get(digest)) };
    });
    // Labels are containerd's bookkeeping; a directory has none to keep.
    server.handleUnary(Content.method.update, async ({ info }, context) => {
      const blob = await choose(context).get(info?.digest ?? "");
      return { info: { ...infoOf(blob), labels: { ...info?.labels } } };
    });
    server.handleUnary(Content.method.delete, async ({ digest }, context) => {
      await choose(context).delete(digest);
      return {};
    });
    server.handleUnary(Content.method.status, async ({ ref }) => {
      throw new BuildError("not_found", `ingest ${ref}: not found`);
    });
    server.handleUnary(Content.method.listStatuses, async () => ({}));
    server.handleUnary(Content.method.abort, async ({ ref }, context) => {
      await choose(context).abort(ref);
      return {};
    });
    server.handleStream(Content.method.list, async (stream, context) => await list(stream, choose(context)));
    server.handleStream(Content.method.read, async (stream, context) => await read(stream, choose(context)));
    server.handleStream(Content.method.write, async (stream, context) => await write(stream, choose(context)));
  };
}

function infoOf(blob: StoredBlob) {
  const createdAt = timestampFromMs(Math.trunc(blob.createdAt));
  return { digest: blob.digest, size: BigInt(blob.size), createdAt, updatedAt: createdAt };
}

async function list(stream: ServerHttp2Stream, store: BlobDirectory): Promise<void> {
  let page: ReturnType<typeof infoOf>[] = [];
  const flush = (): void => {
    const message = create(ListContentResponseSchema, { info: page });
    stream.write(frameMessage(toBinary(ListContentResponseSchema, message)));
    page = [];
  };
  for await (const blob of store.list()) if (page.push(infoOf(blob)) === listPage) flush();
  if (page.length > 0) flush();
}

async function read(stream: ServerHttp2Stream, store: BlobDirectory): Promise<void> {
  for await (const message of requests(stream)) {
    const { digest, offset, size } = fromBinary(ReadContentRequestSchema, message);
    const blob = await store.get(digest);
    if (offset < 0n || Number(offset) > blob.size) {
      throw new BuildError("out_of_range", `read past object length ${blob.size} bytes`);
    }
    const length = size > 0n ? Number(size) : blob.size - Number(offset);
    let position = offset;
    for await (const data of store.read(digest, { offset: Number(offset), length })) {
      const answer = create(ReadContentResponseSchema, { offset: position, data });
      position += BigInt(data.length);
      if (!stream.write(frameMessage(toBinary(ReadContentResponseSchema, answer)))) await drained(stream);
    }
    return;
  }
}

async function write(stream: ServerHttp2Stream, store: BlobDirectory): Promise<void> {
  let ingest: BlobIngest | undefined;
  let expected = { digest: "", size: 0 };
  try {
    for await (const message of requests(stream)) {
      const request = fromBinary(WriteContentRequestSchema, message);
      expected = {
        digest: request.expected === "" ? expected.digest : request.expected,
        size: request.total === 0n ? expected.size : Number(request.total),
      };
      if (ingest === undefined) ingest = await begin(store, request);
      await append(ingest, request);
      const isCommit = request.action === WriteAction.COMMIT;
      const digest = isCommit ? await ingest.commit(expected) : undefined;
      const answer = answerTo(request, ingest, { total: expected.size, digest });
      stream.write(frameMessage(toBinary(WriteContentResponseSchema, create(WriteContentResponseSchema, answer))));
      if (isCommit) return;
    }
  } finally {
    await ingest?.[Symbol.asyncDispose]();
  }
}

async function begin(store: BlobDirectory, request: WriteContentRequest): Promise<BlobIngest> {
  if (request.ref === "") throw new BuildError("invalid_argument", "first message must have a reference");
  if (request.expected !== "" && (await store.find(request.expected)) !== undefined) {
    throw new BuildError("already_exists", `content ${request.expected}: already exists`);
  }
  return await store.ingest(request.ref);
}

async function append(ingest: BlobIngest, request: WriteContentRequest): Promise<void> {
  if (request.action === WriteAction.STAT || request.data.length === 0) return;
  const offset = Number(request.offset);
  if (offset === 0 && ingest.offset > 0) await ingest.restart();
  if (offset !== ingest.offset) {
    throw new BuildError("out_of_range", `write @${offset} must occur at current offset ${ingest.offset}`);
  }
  await ingest.write(request.data);
}

function answerTo(
  request: WriteContentRequest,
  ingest: BlobIngest,
  result: { readonly total: number; readonly digest: string | undefined },
): MessageInitShape<typeof WriteContentResponseSchema> {
  return {
    action: request.action,
    offset: BigInt(ingest.offset),
    total: BigInt(result.total),
    digest: result.digest ?? (request.action === WriteAction.WRITE ? "" : ingest.digest),
    startedAt: timestampFromMs(ingest.startedAt),
    updatedAt: timestampFromMs(ingest.updatedAt),
  };
}

async function* requests(stream: ServerHttp2Stream): AsyncGenerator<Buffer, void, undefined> {
  let queue: Buffer[] = [];
  const reader = new FrameReader((message) => queue.push(message));
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    reader.push(chunk);
    const batch = queue;
    queue = [];
    yield* batch;
  }
}
