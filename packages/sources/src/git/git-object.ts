import { createHash } from "node:crypto";
import { BuildError } from "@buildkit-ts/errdefs";

/** A commit or tag, cut into what was signed and the signature. */
export interface GitObject {
  readonly type: "commit" | "tag";
  /** Armoured; empty, if it is not signed. */
  readonly signature: string;
  readonly signedData: Buffer;
}

const requiredHeaders = {
  commit: ["tree", "author", "committer"],
  tag: ["object", "type", "tag", "tagger"],
} as const;

/**
 * Reads a commit or tag, and verifies that its id is the expected one.
 *
 * The bytes are taken as Latin-1 and given back so: names in them may be of any encoding.
 *
 * @throws {BuildError} `invalid_argument`, for other bytes; `data_loss`, for another object.
 */
export function parseGitObject(raw: Uint8Array, expectedId: string): GitObject {
  const text = Buffer.from(raw).toString("latin1");
  const type = text.startsWith("object ") ? "tag" : "commit";
  verifyId(raw, { type, expectedId });
  const end = text.indexOf("\n\n");
  const head = end < 0 ? text : text.slice(0, end);
  for (const name of requiredHeaders[type]) {
    if (!new RegExp(`^${name} `, "m").test(head))
      throw new BuildError("invalid_argument", `invalid ${type} object: missing ${name} header`);
  }
  return type === "tag" ? splitTag(text) : splitCommit(head, text.slice(head.length));
}

function verifyId(raw: Uint8Array, object: { readonly type: string; readonly expectedId: string }): void {
  const algorithm = object.expectedId.length === 64 ? "sha256" : "sha1";
  const id = createHash(algorithm).update(`${object.type} ${raw.length}\0`).update(raw).digest("hex");
  if (id !== object.expectedId)
    throw new BuildError("data_loss", `checksum mismatch: expected ${object.expectedId}, got ${id}`);
}

/** A tag's signature is the end of its message. */
function splitTag(text: string): GitObject {
  const start = /^-----BEGIN (?:PGP|SSH) SIGNATURE-----$/m.exec(text)?.index ?? text.length;
  return { type: "tag", signature: text.slice(start), signedData: Buffer.from(text.slice(0, start), "latin1") };
}

/** A commit's signature is a header, whose further lines begin with a space. */
function splitCommit(head: string, rest: string): GitObject {
  const signature: string[] = [];
  const signed: string[] = [];
  let isSignature = false;
  for (const line of head.split("\n")) {
    const [, first] = /^gpgsig(?:-sha256)? (.*)$/.exec(line) ?? [];
    if (first !== undefined) {
      isSignature = true;
      signature.push(first);
    } else if (isSignature && line.startsWith(" ")) signature.push(line.slice(1));
    else {
      isSignature = false;
      signed.push(line);
    }
  }
  return {
    type: "commit",
    signature: signature.join("\n"),
    signedData: Buffer.from(signed.join("\n") + rest, "latin1"),
  };
}
