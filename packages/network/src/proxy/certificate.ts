import { createPublicKey, randomBytes, sign, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { AsnConvert, OctetString } from "@peculiar/asn1-schema";
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_kp_serverAuth,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from "@peculiar/asn1-x509";

/** What a certificate says, and who says it. Keys are PEM texts. */
export interface CertificateRequest {
  /** A host's name or address; undefined for the certificate authority itself. */
  readonly host: string | undefined;
  readonly publicKey: string;
  readonly authorityKey: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

const commonName = "2.5.4.3";
const sha256WithRsa = "1.2.840.113549.1.1.11";
const hourMs = 3_600_000;
const authorityMs = 10 * 365 * 24 * hourMs;
const hostMs = 24 * hourMs;
/** The most that X.520 allows in this place; the name that counts is the alternative one. */
const maxCommonName = 64;

/** The text (PEM) of an X.509 certificate of the proxy's authority, for itself or for a host. */
export function createCertificate(request: CertificateRequest): string {
  const { host, authorityKey, now } = request;
  const algorithm = new AlgorithmIdentifier({ algorithm: sha256WithRsa, parameters: null });
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: createSerial(),
    signature: algorithm,
    issuer: createName("BuildKit exec proxy"),
    // An hour back, for clocks of virtual machines that differ from this one.
    validity: new Validity({
      notBefore: new Date(now - hourMs),
      notAfter: new Date(now + (host === undefined ? authorityMs : hostMs)),
    }),
    subject: createName(host === undefined ? "BuildKit exec proxy" : host.slice(0, maxCommonName)),
    subjectPublicKeyInfo: AsnConvert.parse(
      createPublicKey(request.publicKey).export({ type: "spki", format: "der" }),
      SubjectPublicKeyInfo,
    ),
    extensions: new Extensions(host === undefined ? authorityExtensions() : hostExtensions(host)),
  });
  const certificate = new Certificate({
    tbsCertificate,
    signatureAlgorithm: algorithm,
    signatureValue: ownBuffer(sign("sha256", Buffer.from(AsnConvert.serialize(tbsCertificate)), authorityKey)),
  });
  return new X509Certificate(Buffer.from(AsnConvert.serialize(certificate))).toString();
}

function createName(text: string): Name {
  const value = new AttributeValue({ utf8String: text });
  return new Name([new RelativeDistinguishedName([new AttributeTypeAndValue({ type: commonName, value })])]);
}

/** RFC 5280, 4.1.2.2: positive, and no longer than 20 bytes. */
function createSerial(): ArrayBuffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return ownBuffer(bytes);
}

function authorityExtensions(): Extension[] {
  return [
    critical(id_ce_basicConstraints, new BasicConstraints({ cA: true, pathLenConstraint: 0 })),
    critical(id_ce_keyUsage, new KeyUsage(KeyUsageFlags.keyCertSign | KeyUsageFlags.digitalSignature)),
  ];
}

function hostExtensions(host: string): Extension[] {
  const name = isIP(host) === 0 ? { dNSName: host } : { iPAddress: host };
  return [
    critical(id_ce_keyUsage, new KeyUsage(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment)),
    extension(id_ce_extKeyUsage, new ExtendedKeyUsage([id_kp_serverAuth])),
    extension(id_ce_subjectAltName, new SubjectAlternativeName([new GeneralName(name)])),
  ];
}

function critical(extnID: string, value: unknown): Extension {
  const made = extension(extnID, value);
  made.critical = true;
  return made;
}

function extension(extnID: string, value: unknown): Extension {
  return new Extension({ extnID, extnValue: new OctetString(AsnConvert.serialize(value)) });
}

/** A buffer of Node's may be a part of a larger one, all of which would be encoded. */
function ownBuffer(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer;
}
