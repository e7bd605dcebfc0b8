import { fromBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import { copy, type State, scratch, source as sourceState } from "@buildkit-ts/llb";
import type { FrontendClient, FrontendRef } from "../frontend-client.ts";
import { isArchive } from "./archive-header.ts";

/** What asks for a time: the state, and how the step is called that finds it. */
export interface EpochRequest {
  readonly state: State;
  readonly logName: string;
}

/** Entries of an archive that are looked at for the newest one. */
const maxEntries = 200_000;
const directory = 2 ** 31;
/** All bits of Go's `FileMode` that say that an entry is no regular file. */
const anyType = directory + 0x0f28_0000;
const billion = 1_000_000_000n;

/**
 * The time of a source in seconds: of a git commit, or of a file on the web, which is what its server says or else its newest
 * entry, if it is an archive. Images and the client's directories have none, and neither has a state of several sources.
 */
export async function epochOfSource(
  client: FrontendClient,
  { state, logName }: EpochRequest,
  options: { readonly signal: AbortSignal },
): Promise<bigint | undefined> {
  const source = onlySource(state);
  if (source === undefined) return undefined;
  const { identifier, attrs } = source;
  const { commitObject, lastModified } = await client.resolveSource(
    { identifier, attributes: attrs },
    { logName },
    options,
  );
  if (commitObject !== undefined) return commitTime(commitObject);
  if (lastModified !== undefined) return lastModified;
  const filename = attrs["http.filename"] ?? "";
  if (!/^https?:\/\//.test(identifier) || filename === "") return undefined;
  const file = sourceState(identifier, { attrs: new Map(Object.entries(attrs)) });
  return await newestEntry(client, { file, filename }, options);
}

function onlySource(state: State): opspb.SourceOp | undefined {
  const sources = state.marshal().def.flatMap((bytes) => {
    const { op } = fromBinary(opspb.OpSchema, bytes);
    return op.case === "source" ? [op.value] : [];
  });
  return sources.length === 1 && /^(?:git|https?):\/\//.test(sources[0]?.identifier ?? "") ? sources[0] : undefined;
}

function commitTime(object: Uint8Array): bigint {
  const [header = ""] = new TextDecoder().decode(object).split("\n\n", 1);
  const seconds = /^committer .* (\d{1,18}) [+-]\d{4}$/m.exec(header)?.[1];
  if (seconds === undefined) throw new BuildError("invalid_argument", "Cannot read git commit: it names no committer");
  return BigInt(seconds);
}

/** The daemon unpacks the archive, whatever its compression; a file that is none has no time. */
async function newestEntry(
  client: FrontendClient,
  { file, filename }: { readonly file: State; readonly filename: string },
  options: { readonly signal: AbortSignal },
): Promise<bigint | undefined> {
  const { ref } = await client.solve({ definition: file.marshal() }, options);
  const header = await ref?.readFile(filename, { ...options, offset: 0, length: 1024 });
  if (header === undefined || !isArchive(header)) return undefined;
  const unpacked = scratch().file(copy(file, { src: `/${filename}`, dest: "/" }, { attemptUnpack: true }));
  const { ref: tree } = await client.solve({ definition: unpacked.marshal() }, options);
  return tree === undefined ? undefined : await newestFile(tree, options);
}

async function newestFile(tree: FrontendRef, options: { readonly signal: AbortSignal }): Promise<bigint | undefined> {
  let newest: bigint | undefined;
  let seen = 0;
  const waiting = ["/"];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const entries = await tree.readDirectory(folder, options);
    seen += entries.length;
    if (seen > maxEntries)
      throw new BuildError("resource_exhausted", `Cannot find newest entry: there are more than ${maxEntries}`);
    for (const { path, mode, modTime } of entries) {
      if (mode >>> 31 === 1) waiting.push(`${folder}${path}/`);
      else if ((mode & anyType) === 0 && (newest === undefined || modTime > newest)) newest = modTime;
    }
  }
  return newest === undefined ? undefined : newest / billion;
}
