import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";

/** Where distributions keep the list, in the order in which Go's programs look. */
const bundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];
const directories = ["/etc/ssl/certs", "/etc/pki/tls/certs"];
const maxFileBytes = 16 << 20;
const maxFiles = 4096;

type Environment = Readonly<Record<string, string | undefined>>;

let isTrusted = false;

/**
 * Makes TLS of this thread trust whom the machine trusts, instead of the list that Node comes with: an administrator adds
 * the authority of a company there, and takes one away that has failed. Node's list stays where the machine has none.
 * Does its work at the first call only: it takes a hundredth of a second, which most programs never need.
 */
export function trustMachineAuthorities(): void {
  if (isTrusted) return;
  isTrusted = true;
  const authorities = machineAuthorities(process.env);
  if (authorities.length === 0) return;
  const all = [...authorities, ...getCACertificates("extra")];
  try {
    setDefaultCACertificates(all);
  } catch {
    // One that cannot be read must not take the others away.
    const usable = all.filter(isCertificate);
    if (usable.length > 0) setDefaultCACertificates(usable);
  }
}

/** The certificates that the machine trusts, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name; each once. */
export function machineAuthorities(environment: Environment): string[] {
  const { SSL_CERT_FILE: file = "", SSL_CERT_DIR: directory = "" } = environment;
  const found = new Set<string>();
  for (const path of file === "" ? bundles : [file]) {
    for (const certificate of certificatesIn(path)) found.add(certificate);
    if (found.size > 0) break;
  }
  // A list that is there is made of these directories; to read hundreds of files again would tell nothing new.
  if (directory === "" && found.size > 0) return [...found];
  for (const path of directory === "" ? directories : directory.split(":"))
    for (const name of namesIn(path))
      for (const certificate of certificatesIn(join(path, name))) found.add(certificate);
  return [...found];
}

function certificatesIn(path: string): string[] {
  try {
    const stat = statSync(path);
    if (!stat.isFile() || stat.size > maxFileBytes) return [];
    return readFileSync(path, "utf8").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  } catch {
    // Most of the places exist on other distributions only.
    return [];
  }
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path).slice(0, maxFiles);
  } catch {
    return [];
  }
}

function isCertificate(text: string): boolean {
  try {
    return new X509Certificate(text).raw.length > 0;
  } catch {
    return false;
  }
}
