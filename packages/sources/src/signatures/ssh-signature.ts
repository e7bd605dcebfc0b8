import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import { BuildError } from "@buildkit-ts/errdefs";
import { SshWireReader, sshField } from "@buildkit-ts/session";

/** What an SSH signature says (PROTOCOL.sshsig of OpenSSH). */
interface SshSignature {
  readonly publicKey: Buffer;
  readonly hashAlgorithm: "sha256" | "sha512";
  readonly algorithm: string;
  readonly value: Buffer;
}

const magic = Buffer.from("SSHSIG");
const namespace = "git";

/**
 * Verifies an armoured SSH signature of a git object by the first key of an `authorized_keys` line.
 *
 * @throws {BuildError} `permission_denied`, if it is not that key's; `invalid_argument`, for what cannot be read.
 */
export function verifySshSignature(data: Uint8Array, armored: string, authorizedKey: string): void {
  const signature = parseSignature(armored);
  const key = parseAuthorizedKey(authorizedKey);
  if (!key.equals(signature.publicKey)) throw failure(new Error("the signature is by another key"));
  const digest = createHash(signature.hashAlgorithm).update(data).digest();
  const signed = Buffer.concat([
    magic,
    sshField(namespace),
    sshField(""),
    sshField(signature.hashAlgorithm),
    sshField(digest),
  ]);
  if (!isValid(signed, signature, key)) throw failure(new Error("the signature does not match"));
}

function failure(cause: Error): BuildError {
  return new BuildError("permission_denied", `failed to verify ssh signature: ${cause.message}`, { cause });
}

function parseSignature(armored: string): SshSignature {
  const body = /^-----BEGIN SSH SIGNATURE-----\r?\n([A-Za-z0-9+/=\s]+)-----END SSH SIGNATURE-----\s*$/.exec(
    armored,
  )?.[1];
  if (body === undefined) throw new BuildError("invalid_argument", "failed to decode ssh signature PEM block");
  const reader = new SshWireReader(Buffer.from(body, "base64"));
  if (!reader.bytes(magic.length).equals(magic)) throw invalid("it is no SSH signature");
  const version = reader.uint32();
  if (version !== 1) throw new BuildError("invalid_argument", `unsupported SSH signature version: ${version}`);
  const publicKey = reader.field();
  const space = reader.field().toString("utf8");
  if (space !== namespace)
    throw new BuildError(
      "permission_denied",
      `unexpected SSH signature namespace: ${JSON.stringify(space.slice(0, 100))}`,
    );
  reader.field();
  const hashAlgorithm = reader.field().toString("utf8");
  if (hashAlgorithm !== "sha256" && hashAlgorithm !== "sha512")
    throw new BuildError(
      "invalid_argument",
      `unsupported SSH signature hash algorithm: ${hashAlgorithm.slice(0, 100)}`,
    );
  const inner = new SshWireReader(reader.field());
  return { publicKey, hashAlgorithm, algorithm: inner.field().toString("utf8"), value: inner.rest() };
}

function parseAuthorizedKey(text: string): Buffer {
  for (const line of text.split("\n").map((raw) => raw.trim())) {
    if (line === "" || line.startsWith("#")) continue;
    // Options may come before the type of the key.
    const [, type = "", encoded = ""] =
      /(?:^|\s)((?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+)\s+([A-Za-z0-9+/]+={0,2})(?:\s|$)/.exec(line) ?? [];
    const key = Buffer.from(encoded, "base64");
    if (encoded !== "" && new SshWireReader(key).field().toString("utf8") === type) return key;
  }
  throw new BuildError("invalid_argument", "failed to parse ssh public key: ssh: no key found");
}

function isValid(signed: Buffer, signature: SshSignature, key: Buffer): boolean {
  const { algorithm, value } = signature;
  const reader = new SshWireReader(key);
  const type = reader.field().toString("utf8");
  switch (type) {
    case "ssh-ed25519": {
      if (algorithm !== type) return false;
      const x = reader.field().toString("base64url");
      return verify(null, signed, jwk({ kty: "OKP", crv: "Ed25519", x }), new SshWireReader(value).field());
    }
    case "ssh-rsa": {
      // SHA-1, which the plain name means, is none of those that OpenSSH allows here.
      const hash = algorithm === "rsa-sha2-512" ? "sha512" : algorithm === "rsa-sha2-256" ? "sha256" : undefined;
      if (hash === undefined) return false;
      const [e, n] = [reader.field(), reader.number()];
      if (n.length < 256) throw failure(new Error(`RSA key too short: ${n.length * 8} bits`));
      const publicKey = jwk({ kty: "RSA", e: e.toString("base64url"), n: n.toString("base64url") });
      return verify(hash, signed, publicKey, new SshWireReader(value).field());
    }
    case "ecdsa-sha2-nistp256":
    case "ecdsa-sha2-nistp384":
    case "ecdsa-sha2-nistp521":
      return algorithm === type && isValidEcdsa(signed, value, reader);
    default:
      throw new BuildError(
        "invalid_argument",
        `Cannot verify ssh signature: keys of type "${type.slice(0, 100)}" are not supported`,
      );
  }
}

const curves = {
  nistp256: { crv: "P-256", hash: "sha256", bytes: 32 },
  nistp384: { crv: "P-384", hash: "sha384", bytes: 48 },
  nistp521: { crv: "P-521", hash: "sha512", bytes: 66 },
} as const;

function isValidEcdsa(signed: Buffer, value: Buffer, key: SshWireReader): boolean {
  const name = key.field().toString("utf8");
  const curve = Object.hasOwn(curves, name) ? curves[name as keyof typeof curves] : undefined;
  const point = key.field();
  if (curve === undefined || point[0] !== 4 || point.length !== 1 + 2 * curve.bytes) throw invalid("invalid ECDSA key");
  const x = point.subarray(1, 1 + curve.bytes).toString("base64url");
  const y = point.subarray(1 + curve.bytes).toString("base64url");
  const numbers = new SshWireReader(new SshWireReader(value).field());
  const pair = [numbers.number(), numbers.number()].map((number) => padTo(number, curve.bytes));
  const publicKey = jwk({ kty: "EC", crv: curve.crv, x, y });
  return verify(curve.hash, signed, { key: publicKey, dsaEncoding: "ieee-p1363" }, Buffer.concat(pair));
}

function jwk(key: Readonly<Record<string, string>>): KeyObject {
  try {
    return createPublicKey({ key, format: "jwk" });
  } catch (error) {
    throw new BuildError("invalid_argument", "failed to parse ssh public key: invalid key", { cause: error });
  }
}

function padTo(number: Buffer, length: number): Buffer {
  if (number.length > length) throw invalid("a number is too long");
  return Buffer.concat([Buffer.alloc(length - number.length), number]);
}

function invalid(why: string): BuildError {
  return new BuildError("invalid_argument", `failed to parse ssh signature: ${why}`);
}
