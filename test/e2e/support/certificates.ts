import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runOk } from "./processes.ts";

/** Paths of PEM files. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority made by openssl, and what it signs. */
export class CertificateAuthority {
  readonly cert: string;
  readonly #key: string;
  readonly #folder: string;

  private constructor(folder: string, name: string) {
    this.#folder = folder;
    this.cert = join(folder, `${name}.crt`);
    this.#key = join(folder, `${name}.key`);
  }

  static async make(folder: string, name: string): Promise<CertificateAuthority> {
    const authority = new CertificateAuthority(folder, name);
    const out = ["-keyout", authority.#key, "-out", authority.cert, "-subj", `/CN=${name}`, "-days", "2"];
    await runOk("openssl", ["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", ...out]);
    return authority;
  }

  /** @param names Such as `DNS:localhost` or `IP:127.0.0.1`; empty for a client. */
  async sign(name: string, names: readonly string[] = []): Promise<KeyPair> {
    const [cert, key, request] = ["crt", "key", "csr"].map((end) => join(this.#folder, `${name}.${end}`)) as [
      string,
      string,
      string,
    ];
    const make = ["-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", key, "-out", request];
    await runOk("openssl", ["req", ...make, "-subj", `/CN=${name}`]);
    const extensions = join(this.#folder, `${name}.ext`);
    writeFileSync(extensions, names.length === 0 ? "" : `subjectAltName=${names.join(",")}\n`);
    const by = ["-CA", this.cert, "-CAkey", this.#key, "-CAcreateserial", "-days", "2", "-extfile", extensions];
    await runOk("openssl", ["x509", "-req", "-in", request, "-out", cert, ...by]);
    return { cert, key };
  }
}
