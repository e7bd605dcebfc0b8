import { createHash, createHmac } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** A key that requests are signed with. */
export interface SigningKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** Whether a request is signed with the key, as "Signature Version 4" of AWS says. */
export function isSignedWith(key: SigningKey, request: IncomingMessage): boolean {
  const { method = "", url = "", headers } = request;
  const fields = /Credential=([^/]+)\/([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]+)/.exec(
    headers.authorization ?? "",
  );
  const [, accessKeyId, scope = "", signedHeaders = "", signature] = fields ?? [];
  if (accessKeyId !== key.accessKeyId) return false;
  const [path = "", query = ""] = url.split("?");
  const sortedQuery = query
    .split("&")
    .filter((part) => part !== "")
    .map((part) => (part.includes("=") ? part : `${part}=`))
    .toSorted()
    .join("&");
  const lines = signedHeaders.split(";").map((name) => `${name}:${String(headers[name]).trim().replace(/ +/g, " ")}\n`);
  const payload = String(headers["x-amz-content-sha256"]);
  const canonical = [method, path, sortedQuery, lines.join(""), signedHeaders, payload].join("\n");
  const digest = createHash("sha256").update(canonical).digest("hex");
  const text = ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, digest].join("\n");
  let hmac: string | Buffer = `AWS4${key.secretAccessKey}`;
  for (const part of scope.split("/")) hmac = createHmac("sha256", hmac).update(part).digest();
  return createHmac("sha256", hmac).update(text).digest("hex") === signature;
}
