import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { verifyFile } from "../http/verify-file.ts";
import { verifyPgpSignature } from "./pgp-signature.ts";
import { verifySshSignature } from "./ssh-signature.ts";

const folder = mkdtempSync(join(tmpdir(), "signatures-"));
after(() => {
  execFileSync("gpgconf", ["--homedir", folder, "--kill", "all"]);
  rmSync(folder, { recursive: true, force: true });
});
const data = Buffer.from("what is signed\n");
const dataPath = join(folder, "data");
writeFileSync(dataPath, data);

function gpg(...args: readonly string[]): string {
  const options = [
    "--homedir",
    folder,
    "--batch",
    "--yes",
    "--armor",
    "--pinentry-mode",
    "loopback",
    "--passphrase",
    "",
  ];
  return execFileSync("gpg", [...options, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
}

interface PgpKey {
  readonly publicKeys: string;
  sign(...options: readonly string[]): string;
}

function makePgpKey(user: string, algorithm: string, expires = "never"): PgpKey {
  gpg("--quick-generate-key", user, algorithm, "sign", expires);
  return {
    publicKeys: gpg("--export", user),
    sign: (...options) => gpg("--local-user", user, ...options, "--output", "-", "--detach-sign", dataPath),
  };
}

suite("verifyPgpSignature()", () => {
  const keep = { rejectExpired: false };
  const other = makePgpKey("other@example.com", "ed25519");
  for (const algorithm of ["ed25519", "rsa3072", "nistp256"]) {
    test(`accepts ${algorithm} signatures and nothing else, of bytes and of files`, async () => {
      const key = makePgpKey(`${algorithm}@example.com`, algorithm);
      const armored = key.sign();
      await verifyPgpSignature(data, { armored, publicKeys: key.publicKeys }, keep);
      await verifyPgpSignature(data, { armored, publicKeys: other.publicKeys + key.publicKeys }, keep);
      await verifyFile(dataPath, { publicKey: key.publicKeys, signature: armored });
      const changed = Buffer.from("what is signed?\n");
      await assert.rejects(verifyPgpSignature(changed, { armored, publicKeys: key.publicKeys }, keep), {
        code: "permission_denied",
      });
      await assert.rejects(verifyFile(dataPath, { publicKey: other.publicKeys, signature: armored }), {
        message: /^failed to verify pgp signature: signature by [0-9A-F]{16}: /,
      });
    });
  }

  test("refuses weak hashes", async () => {
    const armored = other.sign("--digest-algo", "SHA1", "--allow-weak-digest-algos");
    await assert.rejects(verifyPgpSignature(data, { armored, publicKeys: other.publicKeys }, keep), {
      message: "rejecting weak/unknown hash: sha1",
    });
  });

  test("takes a key that has expired since unless told not to", async () => {
    gpg("--faked-system-time", "20200101T000000", "--quick-generate-key", "old@example.com", "ed25519", "sign", "1d");
    const options = ["--faked-system-time", "20200101T000100", "--local-user", "old@example.com"];
    const armored = gpg(...options, "--output", "-", "--detach-sign", dataPath);
    const signature = { armored, publicKeys: gpg("--export", "old@example.com") };
    await verifyPgpSignature(data, signature, keep);
    await assert.rejects(verifyPgpSignature(data, signature, { rejectExpired: true }), { code: "permission_denied" });
  });

  test("says which of the two it cannot read", async () => {
    const armored = other.sign();
    await assert.rejects(verifyPgpSignature(data, { armored, publicKeys: "ssh-ed25519 AAAA" }, keep), {
      message: /^failed to read armored public key/,
    });
    await assert.rejects(verifyPgpSignature(data, { armored: "?", publicKeys: other.publicKeys }, keep), {
      message: /^failed to decode armored signature/,
    });
  });
});

suite("verifySshSignature()", () => {
  const sign = (key: string, space: string): string => {
    execFileSync("ssh-keygen", ["-Y", "sign", "-f", join(folder, key), "-n", space, dataPath], { stdio: "ignore" });
    const signature = readFileSync(`${dataPath}.sig`, "utf8");
    rmSync(`${dataPath}.sig`);
    return signature;
  };
  const makeKey = (name: string, ...type: readonly string[]): string => {
    execFileSync("ssh-keygen", ["-q", "-N", "", "-f", join(folder, name), "-t", ...type]);
    return readFileSync(join(folder, `${name}.pub`), "utf8");
  };
  const types = [["ed25519"], ["rsa", "-b", "3072"], ["ecdsa", "-b", "256"], ["ecdsa", "-b", "521"]];
  for (const type of types) {
    test(`accepts ${type.join(" ")} signatures and nothing else`, () => {
      const name = `key-${type.join("")}`;
      const key = makeKey(name, ...type);
      const armored = sign(name, "git");
      verifySshSignature(data, armored, key);
      verifySshSignature(data, armored, `# comment\nno-pty,command="ls -l" ${key}`);
      assert.throws(() => verifySshSignature(Buffer.from("other"), armored, key), { code: "permission_denied" });
      const other = makeKey(`${name}-other`, ...type);
      assert.throws(() => verifySshSignature(data, armored, other), { message: /by another key/ });
      assert.throws(() => verifySshSignature(data, sign(name, "file"), key), {
        message: 'unexpected SSH signature namespace: "file"',
      });
    });
  }

  test("takes apart whatever it is given without harm", () => {
    const key = makeKey("key-broken", "ed25519");
    const armored = sign("key-broken", "git");
    const [head = "", ...lines] = armored.trim().split("\n");
    const body = Buffer.from(lines.slice(0, -1).join(""), "base64");
    for (let length = 0; length < body.length; length += 1) {
      const cut = `${head}\n${body.subarray(0, length).toString("base64")}\n${lines.at(-1) ?? ""}\n`;
      assert.throws(() => verifySshSignature(data, cut, key), { name: "BuildError" });
    }
    assert.throws(() => verifySshSignature(data, armored, "-----BEGIN PGP PUBLIC KEY BLOCK-----"), {
      message: /^failed to parse ssh public key/,
    });
  });
});
