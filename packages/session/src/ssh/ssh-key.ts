import { createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { BuildError } from "@buildkit-ts/errdefs";
import { SshWireReader, sshField, sshNumber } from "./wire-reader.ts";

/** A private key that signs as SSH wants it (RFC 4253, RFC 5656, RFC 8332, RFC 8709). */
export interface SshKey {
  /** The public key, as the agent's protocol has it. */
  readonly blob: Buffer;
  sign(data: Uint8Array, hash: "sha1" | "sha256" | "sha512"): Buffer;
}

const openSshMagic = "openssh-key-v1\0";
const curves = {
  "P-256": { name: "nistp256", hash: "sha256", bytes: 32 },
  "P-384": { name: "nistp384", hash: "sha384", bytes: 48 },
  "P-521": { name: "nistp521", hash: "sha512", bytes: 66 },
} as const;

/**
 * Reads a key file of OpenSSH or PEM.
 *
 * @throws {BuildError} `invalid_argument`, for another file; `failed_precondition`, for a key behind a passphrase.
 */
export function parseSshKey(text: string): SshKey {
  const [, body] = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END OPENSSH PRIVATE KEY-----/.exec(text) ?? [];
  const key = body === undefined ? parsePem(text) : parseOpenSsh(Buffer.from(body, "base64"));
  return describe(key);
}

function locked(cause?: unknown): BuildError {
  return new BuildError("failed_precondition", "Cannot use SSH key: it is protected by a passphrase", {
    hint: "Add it to an agent by ssh-add, and forward that",
    ...(cause !== undefined && { cause }),
  });
}

function parsePem(text: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (error) {
    if (/ENCRYPTED/.test(text)) throw locked(error);
    throw new BuildError("invalid_argument", "Cannot read SSH key: neither OpenSSH nor PEM", { cause: error });
  }
}

function parseOpenSsh(bytes: Buffer): KeyObject {
  const reader = new SshWireReader(bytes);
  if (reader.bytes(openSshMagic.length).toString("latin1") !== openSshMagic)
    throw new BuildError("invalid_argument", "Cannot read SSH key: it is no OpenSSH key");
  const cipher = reader.text();
  reader.field();
  reader.field();
  if (cipher !== "none") throw locked();
  if (reader.uint32() !== 1) throw new BuildError("invalid_argument", "Cannot read SSH key: not exactly one key");
  reader.field();
  const secret = new SshWireReader(reader.field());
  secret.bytes(8);
  return fromFields(secret.text(), secret);
}

function fromFields(type: string, fields: SshWireReader): KeyObject {
  switch (type) {
    case "ssh-ed25519": {
      const x = url(fields.field());
      return privateJwk({ kty: "OKP", crv: "Ed25519", x, d: url(fields.field().subarray(0, 32)) });
    }
    case "ssh-rsa": {
      const n = url(fields.number());
      const e = url(fields.number());
      const d = fields.number();
      const qi = url(fields.number());
      const p = fields.number();
      const q = fields.number();
      const [dp, dq] = [url(remainder(d, p)), url(remainder(d, q))];
      return privateJwk({ kty: "RSA", n, e, d: url(d), p: url(p), q: url(q), dp, dq, qi });
    }
    case "ecdsa-sha2-nistp256":
    case "ecdsa-sha2-nistp384":
    case "ecdsa-sha2-nistp521": {
      const name = fields.text();
      const crv = (Object.keys(curves) as (keyof typeof curves)[]).find((known) => curves[known].name === name);
      const point = fields.field();
      if (crv === undefined || point.length !== 1 + 2 * curves[crv].bytes) break;
      const size = curves[crv].bytes;
      const [x, y] = [url(point.subarray(1, 1 + size)), url(point.subarray(1 + size))];
      return privateJwk({ kty: "EC", crv, x, y, d: url(padTo(fields.number(), size)) });
    }
    default:
  }
  throw new BuildError(
    "invalid_argument",
    `Cannot use SSH key: keys of type "${type.slice(0, 100)}" are not supported`,
  );
}

function privateJwk(key: Readonly<Record<string, string>>): KeyObject {
  try {
    return createPrivateKey({ key, format: "jwk" });
  } catch (error) {
    throw new BuildError("invalid_argument", "Cannot read SSH key: its numbers do not fit", { cause: error });
  }
}

/** What RSA's faster way of signing needs besides, which OpenSSH does not store. */
function remainder(exponent: Buffer, prime: Buffer): Buffer {
  const [d, p] = [exponent, prime].map((bytes) => BigInt(`0x0${bytes.toString("hex")}`)) as [bigint, bigint];
  if (p < 2n) throw new BuildError("invalid_argument", "Cannot read SSH key: its numbers do not fit");
  const hex = (d % (p - 1n)).toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex");
}

function describe(key: KeyObject): SshKey {
  const { kty, crv, x = "", y = "", n = "", e = "" } = createPublicKey(key).export({ format: "jwk" });
  if (kty === "OKP" && crv === "Ed25519") {
    const type = "ssh-ed25519";
    return {
      blob: Buffer.concat([sshField(type), sshField(bytesOf(x))]),
      sign: (data) => Buffer.concat([sshField(type), sshField(sign(null, data, key))]),
    };
  }
  if (kty === "RSA") {
    const blob = Buffer.concat([sshField("ssh-rsa"), sshNumber(bytesOf(e)), sshNumber(bytesOf(n))]);
    const names = { sha1: "ssh-rsa", sha256: "rsa-sha2-256", sha512: "rsa-sha2-512" } as const;
    return { blob, sign: (data, hash) => Buffer.concat([sshField(names[hash]), sshField(sign(hash, data, key))]) };
  }
  if (kty === "EC" && crv !== undefined && crv in curves) {
    const curve = curves[crv as keyof typeof curves];
    const type = `ecdsa-sha2-${curve.name}`;
    const point = Buffer.concat([Buffer.of(4), bytesOf(x), bytesOf(y)]);
    return {
      blob: Buffer.concat([sshField(type), sshField(curve.name), sshField(point)]),
      sign: (data) => {
        const pair = sign(curve.hash, data, { key, dsaEncoding: "ieee-p1363" });
        const numbers = [pair.subarray(0, curve.bytes), pair.subarray(curve.bytes)].map(sshNumber);
        return Buffer.concat([sshField(type), sshField(Buffer.concat(numbers))]);
      },
    };
  }
  throw new BuildError("invalid_argument", `Cannot use SSH key: keys of type "${kty ?? ""}" are not supported`);
}

function padTo(bytes: Buffer, length: number): Buffer {
  return Buffer.concat([Buffer.alloc(Math.max(length - bytes.length, 0)), bytes]);
}

function url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text, "base64url");
}
