import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { promisify } from "node:util";
import { openAgentSocket } from "../agent-socket.ts";
import { forwardAgents } from "../serving/ssh-agent.ts";
import { openTestSession } from "../testing/open-test-session.ts";
import { parseSshKey } from "./ssh-key.ts";

const folder = mkdtempSync(join(tmpdir(), "ssh-keys-"));
after(() => rmSync(folder, { recursive: true }));
const data = join(folder, "data");
writeFileSync(data, "what is signed");

function makeKey(name: string, ...options: readonly string[]): string {
  const path = join(folder, name);
  execFileSync("ssh-keygen", ["-q", "-N", "", "-C", "", "-f", path, ...options]);
  return path;
}

const keys = [
  ["ed25519", "-t", "ed25519"],
  ["rsa", "-t", "rsa", "-b", "2048"],
  ["rsa-pem", "-t", "rsa", "-b", "2048", "-m", "PEM"],
  ["ecdsa-256", "-t", "ecdsa", "-b", "256"],
  ["ecdsa-384", "-t", "ecdsa", "-b", "384", "-m", "PKCS8"],
  ["ecdsa-521", "-t", "ecdsa", "-b", "521"],
] as const;

suite("an agent for key files", () => {
  for (const [name, ...options] of keys) {
    test(`lists and signs with ${name} as ssh-agent does`, async (t) => {
      const path = makeKey(name, ...options);
      await using session = await openTestSession([forwardAgents([{ id: "git", paths: [path] }])]);
      const { signal } = t;
      await using socket = await openAgentSocket(session.caller, { id: "git", directory: folder, signal });
      const run = async (program: string, ...args: readonly string[]) =>
        await promisify(execFile)(program, args, { env: { ...process.env, SSH_AUTH_SOCK: socket.path } });
      const publicKey = readFileSync(`${path}.pub`, "utf8").trim();
      assert.equal((await run("ssh-add", "-L")).stdout.trim(), publicKey);
      // With the public key alone, ssh-keygen has to ask the agent.
      await run("ssh-keygen", "-Y", "sign", "-n", "file", "-f", `${path}.pub`, data);
      const allowed = join(folder, `${name}.allowed`);
      writeFileSync(allowed, `me ${publicKey}\n`);
      const verify = ["-Y", "verify", "-n", "file", "-f", allowed, "-I", "me", "-s", `${data}.sig`];
      execFileSync("ssh-keygen", verify, { input: readFileSync(data), stdio: ["pipe", "ignore", "inherit"] });
      rmSync(`${data}.sig`);
      await assert.rejects(run("ssh-add", "-D"), /refused|failure|failed/i);
    });
  }

  test("says why a file is none that it can use", () => {
    const locked = join(folder, "locked");
    execFileSync("ssh-keygen", ["-q", "-N", "secret", "-f", locked, "-t", "ed25519"]);
    assert.throws(() => forwardAgents([{ id: "a", paths: [locked] }]), {
      code: "failed_precondition",
      message: /protected by a passphrase/,
    });
    assert.throws(() => forwardAgents([{ id: "a", paths: [data] }]), { message: /neither OpenSSH nor PEM/ });
    assert.throws(() => forwardAgents([{ id: "a", paths: [join(folder, "missing")] }]), { code: "invalid_argument" });
    assert.throws(() => forwardAgents([{ id: "a", paths: ["/dev/zero"] }]), { message: /no file of a key's size/ });
  });

  test("takes apart damaged keys without harm", () => {
    const [head = "", ...lines] = readFileSync(makeKey("damaged", "-t", "rsa", "-b", "1024"), "utf8")
      .trim()
      .split("\n");
    const body = Buffer.from(lines.slice(0, -1).join(""), "base64");
    for (let at = 0; at < body.length; at += 7) {
      const changed = Buffer.from(body);
      changed[at] = (changed[at] ?? 0) ^ 0xff;
      const text = (bytes: Buffer): string => `${head}\n${bytes.toString("base64")}\n${lines.at(-1) ?? ""}\n`;
      assert.throws(() => parseSshKey(text(body.subarray(0, at))), { name: "BuildError" });
      try {
        parseSshKey(text(changed));
      } catch (error) {
        assert.equal((error as Error).name, "BuildError");
      }
    }
  });
});
