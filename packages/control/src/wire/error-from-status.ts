import { fromJson, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { opspb, type rpcpb } from "@buildkit-ts/api";
import {
  BuildError,
  codeFromNumber,
  ExitError,
  PolicyDeniedError,
  SourceError,
  type SourceFile,
  UnsupportedFrontendCapError,
  UnsupportedSubrequestError,
  VertexError,
} from "@buildkit-ts/errdefs";

interface Position {
  readonly line?: number;
  readonly character?: number;
}

interface SourceInfoJson {
  readonly filename?: string;
  readonly language?: string;
  readonly data?: string;
  readonly definition?: JsonValue;
}

interface DetailJson {
  readonly digest?: string;
  readonly name?: string;
  readonly Code?: number;
  readonly denyMessages?: readonly { readonly message?: unknown }[];
  readonly info?: SourceInfoJson;
  readonly ranges?: readonly { readonly start?: Position; readonly end?: Position }[];
}

/** The failure that a frontend in the client returned, with the details that we sent it (or it made) kept. */
export function errorFromStatus(status: rpcpb.Status): BuildError {
  const code = codeFromNumber(status.code);
  const plain: BuildError = new BuildError(
    code,
    status.message === "" ? "frontend returned an error without a text" : status.message,
  );
  return status.details.reduceRight<BuildError>((inner, { typeUrl, value }) => wrap(inner, typeUrl, value), plain);
}

function sourceFile({ filename = "", language = "", data = "", definition }: SourceInfoJson): SourceFile {
  const file = { filename, language, data: Buffer.from(data, "base64") };
  if (definition === undefined || definition === null) return file;
  try {
    const message = fromJson(opspb.DefinitionSchema, definition, { ignoreUnknownFields: true });
    return { ...file, definition: toBinary(opspb.DefinitionSchema, message) };
  } catch {
    // Clients show the file without it as well.
    return file;
  }
}

function wrap(inner: BuildError, typeUrl: string, value: Uint8Array): BuildError {
  let json: DetailJson;
  try {
    json = JSON.parse(Buffer.from(value).toString("utf8")) as DetailJson;
  } catch {
    // A detail of another encoding is not ours to pass on; the text and the code are kept.
    return inner;
  }
  const position = (p: Position | undefined) => ({ line: p?.line ?? 0, character: p?.character ?? 0 });
  switch (typeUrl.slice(typeUrl.lastIndexOf("/") + 1)) {
    case "errdefs.Vertex+json":
      return new VertexError(json.digest ?? "", inner);
    case "errdefs.Subrequest+json":
      return new UnsupportedSubrequestError(json.name ?? "");
    case "errdefs.FrontendCap+json":
      return new UnsupportedFrontendCapError(json.name ?? "");
    case "gatewayapi.ExitMessage+json":
      return new ExitError(json.Code ?? 0, inner.message, { cause: inner });
    case "policysession.DecisionResponse+json": {
      const denyMessages = (json.denyMessages ?? []).map(({ message }) => (typeof message === "string" ? message : ""));
      return new PolicyDeniedError(inner.message, { denyMessages, cause: inner });
    }
    case "errdefs.Source+json":
      return new SourceError(inner.message, {
        code: inner.code,
        cause: inner,
        source: sourceFile(json.info ?? {}),
        ranges: (json.ranges ?? []).map(({ start, end }) => ({ start: position(start), end: position(end) })),
      });
    default:
      return inner;
  }
}
