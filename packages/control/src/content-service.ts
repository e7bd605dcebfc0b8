import { create } from "@bufbuild/protobuf";
import { contentpb } from "@buildkit-ts/api";
import type { BlobInfo, ContentStore } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, parseDigest } from "@buildkit-ts/oci";
import type { ServiceImpl } from "@connectrpc/connect";
import { serverStream, unary } from "./wire/handlers.ts";
import { timestampOf } from "./wire/timestamps.ts";

const blobsPerMessage = 100;

/**
 * `containerd.services.content.v1.Content`, to look at blobs and to read them.
 *
 * Clients change nothing in the store: what lies there without a record that holds it would be collected anyway.
 */
export function contentService(content: ContentStore): Partial<ServiceImpl<typeof contentpb.Content>> {
  return {
    info: unary(async (request) => {
      const info = await getBlob(content, parseDigest(request.digest));
      return create(contentpb.InfoResponseSchema, { info: infoMessage(info) });
    }),
    list: serverStream(async function* (request) {
      if (request.filters.some((filter) => filter !== "")) {
        throw new BuildError("unimplemented", "Cannot list blobs by filter: this daemon keeps no labels of blobs");
      }
      let info: contentpb.Info[] = [];
      for await (const blob of content.walk()) {
        info.push(infoMessage(blob));
        if (info.length < blobsPerMessage) continue;
        yield create(contentpb.ListContentResponseSchema, { info });
        info = [];
      }
      if (info.length > 0) yield create(contentpb.ListContentResponseSchema, { info });
    }),
    read: serverStream(async function* (request, context) {
      yield* readBlob(content, request, context.signal);
    }),
  };
}

async function* readBlob(
  content: ContentStore,
  request: contentpb.ReadContentRequest,
  signal: AbortSignal,
): AsyncGenerator<contentpb.ReadContentResponse> {
  const { digest, size } = await getBlob(content, parseDigest(request.digest));
  let offset = Math.max(0, Number(request.offset));
  if (offset > size) throw new BuildError("out_of_range", `read past object length ${size} bytes`);
  // No size, and one that reaches past the end, mean all that follows.
  const end = request.size > 0n ? Math.min(size, offset + Number(request.size)) : size;
  if (offset === end) return;
  const descriptor = { digest, size, mediaType: "application/octet-stream" };
  for await (const chunk of await content.open(descriptor, { signal, offset })) {
    const data = chunk.subarray(0, end - offset);
    yield create(contentpb.ReadContentResponseSchema, { offset: BigInt(offset), data });
    offset += data.length;
    if (offset >= end) return;
  }
}

async function getBlob(content: ContentStore, digest: Digest): Promise<BlobInfo> {
  const info = await content.find(digest);
  if (info === undefined) throw new BuildError("not_found", `content ${digest}: not found`);
  return info;
}

function infoMessage(blob: BlobInfo): contentpb.Info {
  const createdAt = timestampOf(blob.createdAt);
  // A blob never changes.
  return create(contentpb.InfoSchema, {
    digest: blob.digest,
    size: BigInt(blob.size),
    createdAt,
    updatedAt: createdAt,
  });
}
