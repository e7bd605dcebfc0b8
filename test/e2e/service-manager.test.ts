import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { DatagramReceiver } from "@buildkit-ts/sys/testing";
import { endProcess, repository, temporaryFolder } from "./support/processes.ts";

test("the daemon tells its service manager when it is ready, and when it stops", async ({ signal }) => {
  using folder = temporaryFolder("notify");
  const socket = join(folder.path, "notify.sock");
  using manager = new DatagramReceiver(socket);
  const programs = process.env["BUILDKIT_TS_BIN"] ?? join(repository, "bin");
  const args = ["--root", join(folder.path, "root"), "--addr", `unix://${join(folder.path, "buildkitd.sock")}`];
  const env = { ...process.env, NOTIFY_SOCKET: socket };
  const daemon = spawn(join(programs, "buildkitd"), args, { env, stdio: "ignore" });
  try {
    assert.equal(await manager.receive({ signal }), "READY=1");
    const exited = once(daemon, "exit");
    daemon.kill("SIGTERM");
    assert.equal(await manager.receive({ signal }), "STOPPING=1");
    assert.deepEqual(await exited, [0, null]);
  } finally {
    await endProcess(daemon);
  }
});
