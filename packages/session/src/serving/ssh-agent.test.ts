import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import { openAgentSocket } from "../agent-socket.ts";
import { openTestSession, type TestSession } from "../testing/open-test-session.ts";
import { forwardAgents } from "./ssh-agent.ts";

const { signal } = new AbortController();

suite("forwardAgents()", () => {
  const folder = mkdtempSync(join(tmpdir(), "ssh-agent-"));
  const agentSocket = join(folder, "agent");
  const agent = spawn("ssh-agent", ["-D", "-a", agentSocket], { stdio: ["ignore", "pipe", "inherit"] });

  const makeKey = (name: string): string => {
    execFileSync("ssh-keygen", ["-q", "-N", "", "-C", "", "-t", "ed25519", "-f", join(folder, name)]);
    return readFileSync(join(folder, `${name}.pub`), "utf8").trim();
  };
  const sshAdd = async (socket: string, ...args: readonly string[]): Promise<string> => {
    const env = { ...process.env, SSH_AUTH_SOCK: socket };
    return (await promisify(execFile)("ssh-add", args, { env })).stdout.trim();
  };
  const keysOf = async (session: TestSession, id: string): Promise<string[]> => {
    await using socket = await openAgentSocket(session.caller, { id, directory: folder, signal });
    return (await sshAdd(socket.path, "-L")).split("\n").map((line) => line.split(" ").slice(0, 2).join(" "));
  };

  before(async () => {
    // It says where it listens once it does.
    await new Promise((resolve) => agent.stdout.once("data", resolve));
    makeKey("in-agent");
    await sshAdd(agentSocket, "-q", join(folder, "in-agent"));
    process.env["SSH_AUTH_SOCK"] = agentSocket;
  });

  after(() => {
    agent.kill();
    rmSync(folder, { recursive: true });
  });

  test("forwards the user's agent and files of keys side by side, by their ids", async () => {
    const [one, two] = [makeKey("one"), makeKey("two")];
    const inAgent = readFileSync(join(folder, "in-agent.pub"), "utf8").trim();
    const sources = [
      { id: "default" },
      { id: "socket", paths: [agentSocket] },
      { id: "files", paths: [join(folder, "one"), join(folder, "two")] },
    ];
    await using session = await openTestSession([forwardAgents(sources)]);
    assert.deepEqual(await keysOf(session, ""), [inAgent]);
    assert.deepEqual(await keysOf(session, "default"), [inAgent]);
    assert.deepEqual(await keysOf(session, "socket"), [inAgent]);
    assert.deepEqual(await keysOf(session, "files"), [one, two]);
    await assert.rejects(keysOf(session, "other"), { message: "unset ssh forward key other" });
  });

  test("lets a step change nothing about the user's agent", async () => {
    await using session = await openTestSession([forwardAgents([{ id: "default" }])]);
    await using socket = await openAgentSocket(session.caller, { id: "default", directory: folder, signal });
    await assert.rejects(sshAdd(socket.path, "-D"), /refused|failure|failed/i);
    await assert.rejects(sshAdd(socket.path, "-q", join(folder, "in-agent")), /refused|failure|failed/i);
    assert.equal((await sshAdd(agentSocket, "-L")).split("\n").length, 1);
  });

  test("says why there is no agent", () => {
    const known = process.env["SSH_AUTH_SOCK"];
    delete process.env["SSH_AUTH_SOCK"];
    try {
      assert.throws(() => forwardAgents([{ id: "" }]), { message: /make sure SSH_AUTH_SOCK is set/ });
    } finally {
      process.env["SSH_AUTH_SOCK"] = known;
    }
    const twice = [{ id: "" }, { id: "default" }];
    assert.throws(() => forwardAgents(twice), { message: 'duplicate agent ID "default"' });
    const mixed = [{ id: "a", paths: [agentSocket, join(folder, "in-agent")] }];
    assert.throws(() => forwardAgents(mixed), { message: "invalid combination of keys and sockets" });
  });

  test("ends a connection whose request has no end", async () => {
    const stuck = join(folder, "stuck");
    const server = createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => server.listen(stuck, resolve));
    try {
      await using session = await openTestSession([forwardAgents([{ id: "default", paths: [stuck] }])]);
      await using socket = await openAgentSocket(session.caller, { id: "default", directory: folder, signal });
      const connection = connect(socket.path);
      connection.on("error", () => undefined);
      connection.resume().write(Buffer.from([0xff, 0xff, 0xff, 0xff, 1]));
      await once(connection, "close", { signal: AbortSignal.timeout(20_000) });
    } finally {
      server.close();
    }
  });
});
