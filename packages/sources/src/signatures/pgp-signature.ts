import { createHash } from "node:crypto";
import { BuildError } from "@buildkit-ts/errdefs";
import type * as OpenPgp from "openpgp";

/** How a signature is verified. */
export interface PgpPolicy {
  /** By default a key that has expired since it signed is good. */
  readonly rejectExpired: boolean;
}

const maxClockSkewMs = 5 * 60_000;
const goodHashes = ["sha256", "sha384", "sha512"];

/**
 * Verifies an armoured detached signature by one of the keys of one or more armoured blocks.
 *
 * @throws {BuildError} `permission_denied`, if none of the keys made it; `invalid_argument`, for what cannot be read.
 */
export async function verifyPgpSignature(
  data: Uint8Array | AsyncIterable<Uint8Array>,
  signature: { readonly armored: string; readonly publicKeys: string },
  policy: PgpPolicy,
): Promise<void> {
  // Some hundred kilobytes of code that few builds need.
  const openpgp = await import("openpgp");
  const parsed = await readSignature(openpgp, signature.armored);
  const keys = await readKeys(openpgp, signature.publicKeys);
  const [packet] = parsed.packets;
  if (packet === undefined) throw new BuildError("invalid_argument", "no signature packet found");
  checkAlgorithms(openpgp, packet);
  const created = packet.created ?? new Date(Number.NaN);
  if (!(created.getTime() <= Date.now() + maxClockSkewMs))
    throw new BuildError("permission_denied", `signature creation time is in the future: ${String(created)}`);
  const bytes = data instanceof Uint8Array ? data : new Uint8Array();
  if (!(data instanceof Uint8Array)) Object.assign(packet, { hashed: hashStream(openpgp, packet, data) });
  const message = await openpgp.createMessage({ binary: bytes });
  const result = await openpgp.verify({
    message,
    signature: parsed,
    verificationKeys: keys,
    format: "binary",
    date: created,
    config: { minRSABits: 2047 },
  });
  const outcomes = await Promise.allSettled(result.signatures.map(async ({ verified }) => await verified));
  if (outcomes.some(({ status }) => status === "fulfilled")) {
    await checkKey(keys, packet, policy);
    return;
  }
  const reason = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [reasonOf(outcome.reason)] : []))[0];
  const signer = packet.issuerKeyID.toHex().toUpperCase();
  throw new BuildError("permission_denied", `signature by ${signer}: ${reason ?? "not signed by any of the keys"}`);
}

async function readSignature(openpgp: typeof OpenPgp, armored: string): Promise<OpenPgp.Signature> {
  try {
    return await openpgp.readSignature({ armoredSignature: armored });
  } catch (error) {
    throw new BuildError("invalid_argument", `failed to decode armored signature: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

/**
 * The hash that a signature of a file is made of (RFC 9580, 5.2.4), for which the library would want the whole file in
 * memory: a packet that knows it looks at no data.
 */
async function hashStream(
  openpgp: typeof OpenPgp,
  packet: OpenPgp.SignaturePacket,
  data: AsyncIterable<Uint8Array>,
): Promise<Uint8Array> {
  const { version, signatureType, signatureData, hashAlgorithm } = packet;
  if (version !== 4 || signatureType !== openpgp.enums.signature.binary || signatureData === null)
    throw new BuildError(
      "unimplemented",
      `Cannot verify signature of a file: it is of version ${version}, or of a text`,
    );
  const trailer = Buffer.alloc(6);
  trailer.writeUInt8(version, 0);
  trailer.writeUInt8(0xff, 1);
  trailer.writeUInt32BE(signatureData.length, 2);
  const hash = createHash(hashName(openpgp, hashAlgorithm));
  for await (const chunk of data) hash.update(chunk);
  return hash.update(signatureData).update(trailer).digest();
}

function hashName(openpgp: typeof OpenPgp, algorithm: OpenPgp.enums.hash | null): string {
  return algorithm === null ? "unknown" : openpgp.enums.read(openpgp.enums.hash, algorithm);
}

/** Keys of all blocks: a file may be several, one after the other. */
async function readKeys(openpgp: typeof OpenPgp, armored: string): Promise<OpenPgp.PublicKey[]> {
  const blocks = armored.match(/-----BEGIN PGP PUBLIC KEY BLOCK-----[\s\S]*?-----END PGP PUBLIC KEY BLOCK-----/g) ?? [];
  if (blocks.length === 0)
    throw new BuildError("invalid_argument", "failed to read armored public key: no armored data found");
  try {
    return (await Promise.all(blocks.map(async (block) => await openpgp.readKeys({ armoredKeys: block })))).flat();
  } catch (error) {
    throw new BuildError("invalid_argument", `failed to read armored public key: ${reasonOf(error)}`, { cause: error });
  }
}

function checkAlgorithms(openpgp: typeof OpenPgp, packet: OpenPgp.SignaturePacket): void {
  const hash = hashName(openpgp, packet.hashAlgorithm);
  if (!goodHashes.includes(hash)) throw new BuildError("permission_denied", `rejecting weak/unknown hash: ${hash}`);
  const { rsaEncryptSign, rsaSign, ecdsa, eddsaLegacy, ed25519, ed448 } = openpgp.enums.publicKey;
  const algorithm = packet.publicKeyAlgorithm;
  if (algorithm === null || ![rsaEncryptSign, rsaSign, ecdsa, eddsaLegacy, ed25519, ed448].includes(algorithm))
    throw new BuildError("permission_denied", `rejecting unsupported pubkey algorithm: ${String(algorithm)}`);
}

/** Whether the key that signed is still good. One that was revoked later is not: nobody knows who signed with it. */
async function checkKey(
  keys: readonly OpenPgp.PublicKey[],
  packet: OpenPgp.SignaturePacket,
  policy: PgpPolicy,
): Promise<void> {
  const now = new Date();
  for (const key of keys) {
    if (key.getKeys(packet.issuerKeyID).length === 0) continue;
    if (await key.isRevoked(undefined, undefined, now)) throw new BuildError("permission_denied", "key revoked");
    const expires = await key.getExpirationTime();
    if (policy.rejectExpired && expires instanceof Date && expires < now)
      throw new BuildError("permission_denied", `key expired at ${expires.toISOString()}`);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
