import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { DatagramReceiver } from "./testing/datagram-receiver.ts";
import { sendDatagram } from "./unix-datagram.ts";

suite("sendDatagram()", () => {
  const folder = mkdtempSync(join(tmpdir(), "datagram-"));

  test("reaches a socket by its path, and one in the abstract namespace", async (context) => {
    for (const path of [join(folder, "notify"), `@buildkit-ts-test-${process.pid}`]) {
      using receiver = new DatagramReceiver(path);
      sendDatagram(path, "READY=1");
      assert.equal(await receiver.receive({ signal: context.signal }), "READY=1");
    }
  });

  test("fails where nobody listens, and for names that no socket can have", () => {
    assert.throws(() => sendDatagram(join(folder, "nobody"), "x"), { code: "ENOENT" });
    for (const path of ["", "a\0b", "/".padEnd(108, "x")]) {
      assert.throws(() => sendDatagram(path, "x"), { code: "EINVAL" }, path);
    }
    rmSync(folder, { recursive: true });
  });
});
