import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import {
  Content,
  WriteAction,
  type WriteContentRequest,
  WriteContentRequestSchema,
} from "@buildkit-ts/api/containerd/content";
import type { ContentProvider } from "@buildkit-ts/content";
import { type Code as BuildCode, BuildError } from "@buildkit-ts/errdefs";
import { type Descriptor, isIndexType, isManifestType } from "@buildkit-ts/oci";
import type { SessionCaller } from "@buildkit-ts/session";
import { type CallOptions, type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { rechunk } from "../files/rechunk.ts";
import { listBlobs } from "./image-archive.ts";

/** The store in which a client takes the blobs of `tar=false` outputs. */
const storeId = "export";

/** Writes all blobs of an image to the client's content store, children before parents. */
export async function copyToClientStore(
  caller: SessionCaller,
  source: { readonly image: Descriptor; readonly content: ContentProvider },
  options: { readonly signal: AbortSignal },
): Promise<void> {
  if (!caller.supports("/containerd.services.content.v1.Content/Write"))
    throw new BuildError("unimplemented", "Cannot export image to a directory: the client has no content store");
  const client = createClient(Content, caller.transport);
  const call = { headers: { "buildkit-attachable-store-id": storeId }, signal: options.signal };
  const blobs = await listBlobs(source.content, source.image, options);
  const isParent = (blob: Descriptor): number =>
    isIndexType(blob.mediaType) ? 2 : isManifestType(blob.mediaType) ? 1 : 0;
  for (const blob of blobs.toSorted((a, b) => isParent(a) - isParent(b))) {
    if (await hasBlob(client, blob, call)) continue;
    await writeBlobTo(client, { blob, content: await source.content.open(blob, options) }, call);
  }
}

type ContentClient = Client<typeof Content>;

async function hasBlob(client: ContentClient, blob: Descriptor, call: CallOptions): Promise<boolean> {
  try {
    await client.info({ digest: blob.digest }, call);
    return true;
  } catch (error) {
    if (error instanceof ConnectError && error.code === Code.NotFound) return false;
    throw toBuildError(error);
  }
}

async function writeBlobTo(
  client: ContentClient,
  source: { readonly blob: Descriptor; readonly content: AsyncIterable<Uint8Array> },
  call: CallOptions,
): Promise<void> {
  const { digest, size } = source.blob;
  // A name of its own, so that the upload starts at 0 whatever an earlier one left behind.
  const head = { ref: `export-${digest}-${randomUUID()}`, total: BigInt(size), expected: digest };
  const requests = async function* (): AsyncGenerator<WriteContentRequest, void> {
    let offset = 0n;
    for await (const data of rechunk(source.content)) {
      const action = WriteAction.WRITE;
      yield create(WriteContentRequestSchema, { ...head, action, offset, data });
      offset += BigInt(data.length);
    }
    yield create(WriteContentRequestSchema, { ...head, action: WriteAction.COMMIT, offset });
  };
  try {
    for await (const _answer of client.write(requests(), call)) call.signal?.throwIfAborted();
  } catch (error) {
    call.signal?.throwIfAborted();
    const failure = toBuildError(error);
    if (failure.code !== "already_exists") throw failure;
  }
}

function toBuildError(error: unknown): BuildError {
  if (!(error instanceof ConnectError)) return BuildError.from(error);
  const code = Code[error.code].replace(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
  return new BuildError(code as BuildCode, error.rawMessage, { cause: error });
}
