import { fromJson, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { opspb, type rpcpb } from "@buildkit-ts/api";
import {
  BuildError,
  codeFromNumber,
  ExitError,
  ForeignDetailError,
  PolicyDeniedError,
  SourceError,
  type SourceFile,
  type SourcePosition,
  UnsupportedFrontendCapError,
  UnsupportedSubrequestError,
  VertexError,
} from "@buildkit-ts/errdefs";

type DetailJson = Readonly<Record<string, unknown>>;

/** Details travel in headers, which clients limit: what a frontend says beyond this is dropped. */
const maxForeignBytes = 128 << 10;
/** No failure is as deep as this. */
const maxDetails = 64;

/**
 * The failure that a frontend returned, with the details that we sent it (or it made) kept. Those that nothing here looks at
 * are passed on as they are: the client may know them.
 */
export function errorFromStatus(status: rpcpb.Status): BuildError {
  const code = codeFromNumber(status.code);
  const plain: BuildError = new BuildError(
    code,
    status.message === "" ? "frontend returned an error without a text" : status.message,
  );
  const details = withinLimit(status.details.slice(0, maxDetails));
  return details.reduceRight<BuildError>((inner, detail) => wrap(inner, detail), plain);
}

interface Detail {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

function withinLimit(details: readonly Detail[]): Detail[] {
  let left = maxForeignBytes;
  return details.filter(({ typeUrl, value }) => {
    if (readerOf(typeUrl) !== undefined) return true;
    left -= typeUrl.length + value.length;
    return left >= 0;
  });
}

type DetailReader = (json: DetailJson, inner: BuildError) => BuildError;

/** The details that something here looks at, by the name of their type. */
const readers: ReadonlyMap<string, DetailReader> = new Map<string, DetailReader>([
  ["errdefs.Vertex+json", ({ digest }, inner) => new VertexError(textOf(digest), inner)],
  ["errdefs.Subrequest+json", ({ name }, cause) => new UnsupportedSubrequestError(textOf(name), { cause })],
  ["errdefs.FrontendCap+json", ({ name }, cause) => new UnsupportedFrontendCapError(textOf(name), { cause })],
  ["gatewayapi.ExitMessage+json", ({ Code }, cause) => new ExitError(numberOf(Code), cause.message, { cause })],
  [
    "policysession.DecisionResponse+json",
    ({ denyMessages }, cause) => {
      const messages = listOf(denyMessages).map((deny) => textOf(recordOf(deny)["message"]));
      return new PolicyDeniedError(cause.message, { denyMessages: messages, cause });
    },
  ],
  [
    "errdefs.Source+json",
    ({ info, ranges }, cause) =>
      new SourceError(cause.message, {
        code: cause.code,
        cause,
        source: sourceFile(recordOf(info)),
        ranges: listOf(ranges)
          .map(recordOf)
          .map(({ start, end }) => ({ start: positionOf(start), end: positionOf(end) })),
      }),
  ],
]);

function readerOf(typeUrl: string): DetailReader | undefined {
  return readers.get(typeUrl.slice(typeUrl.lastIndexOf("/") + 1));
}

function wrap(inner: BuildError, detail: Detail): BuildError {
  const read = readerOf(detail.typeUrl);
  const json = read === undefined ? undefined : parseDetail(detail.value);
  return read === undefined || json === undefined ? new ForeignDetailError(inner, detail) : read(json, inner);
}

function parseDetail(value: Uint8Array): DetailJson | undefined {
  try {
    const json: unknown = JSON.parse(Buffer.from(value).toString("utf8"));
    return typeof json === "object" && json !== null ? recordOf(json) : undefined;
  } catch {
    // Of another encoding: the text and the code are kept, and whoever knows it may read it.
    return undefined;
  }
}

function sourceFile({ filename, language, data, definition }: DetailJson): SourceFile {
  const file = {
    filename: textOf(filename),
    language: textOf(language),
    data: Buffer.from(textOf(data), "base64"),
  };
  if (definition === undefined || definition === null) return file;
  try {
    const message = fromJson(opspb.DefinitionSchema, definition as JsonValue, { ignoreUnknownFields: true });
    return { ...file, definition: toBinary(opspb.DefinitionSchema, message) };
  } catch {
    // Clients show the file without it as well.
    return file;
  }
}

function positionOf(value: unknown): SourcePosition {
  const { line, character } = recordOf(value);
  return { line: numberOf(line), character: numberOf(character) };
}

function recordOf(value: unknown): DetailJson {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as DetailJson) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numberOf(value: unknown): number {
  return typeof value === "number" ? value : 0;
}
