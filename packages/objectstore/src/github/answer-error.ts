import { BuildError, type Code } from "@buildkit-ts/errdefs";
import type { Dispatcher } from "undici";

const maxAnswerBytes = 32 * 1024;

const codes: ReadonlyMap<number, Code> = new Map([
  [400, "invalid_argument"],
  [401, "unauthenticated"],
  [403, "permission_denied"],
  [404, "not_found"],
  [409, "already_exists"],
  [429, "resource_exhausted"],
]);

/** The error that an answer of the cache service stands for, in the shapes of both versions and of those in front of it. */
export async function answerError(answer: Dispatcher.ResponseData, prefix: string): Promise<BuildError> {
  const { statusCode, body } = answer;
  const fields = parse(await beginning(body));
  const text = [fields["message"], fields["msg"], fields["code"]].find(
    (field): field is string => typeof field === "string" && field !== "",
  );
  const { code: twirpCode, typeKey } = fields;
  const isTaken =
    twirpCode === "already_exists" ||
    (typeof typeKey === "string" && typeKey.includes("AlreadyExists")) ||
    /already exists/i.test(text ?? "");
  const code = isTaken ? "already_exists" : (codes.get(statusCode) ?? (statusCode >= 500 ? "unavailable" : "unknown"));
  return new BuildError(code, `${prefix}: ${text === undefined ? "" : `${text.slice(0, 500)} `}(status ${statusCode})`);
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text.replace(/^\uFEFF/, ""));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    // A page for people, from whatever is in between: the status says enough.
    return {};
  }
}

async function beginning(body: Dispatcher.ResponseData["body"]): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    chunks.push(chunk as Buffer);
    size += (chunk as Buffer).length;
    if (size >= maxAnswerBytes) break;
  }
  return Buffer.concat(chunks).subarray(0, maxAnswerBytes).toString("utf8");
}
