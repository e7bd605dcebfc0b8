import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { FileSend } from "@buildkit-ts/api/buildkit/filesync";
import { BuildError } from "@buildkit-ts/errdefs";
import fc from "fast-check";
import { sendFiles } from "../send-files.ts";
import { openTestSession } from "../testing/open-test-session.ts";
import { frameMessage } from "../wire/grpc-frames.ts";
import { PacketWriter } from "./packet-writer.ts";
import { walkTree } from "./walk-tree.ts";

const request = (id: number): Buffer => packet((writer) => writer.request(id));
const fin = packet((writer) => writer.fin());

suite("a receiver that means harm", () => {
  const root = mkdtempSync(join(tmpdir(), "hostile-receiver-"));

  before(() => {
    writeFileSync(join(root, "a"), "one");
    writeFileSync(join(root, "big"), "");
    truncateSync(join(root, "big"), 20 << 20);
    writeFileSync(join(root, "c"), "three");
  });

  after(() => rmSync(root, { recursive: true }));

  /** Sends the directory to a client that answers thus, and then ends the stream; gives what the sender says. */
  const sendTo = async (answers: readonly Buffer[]): Promise<string> => {
    await using session = await openTestSession([
      (server) =>
        server.handleStream(FileSend.method.diffCopy, async (stream) => {
          stream.resume();
          for (const answer of answers) stream.write(answer);
        }),
    ]);
    const signal = AbortSignal.timeout(20_000);
    try {
      await sendFiles(session.caller, { exporterId: 0, entries: walkTree(root) }, { signal });
      return "sent";
    } catch (error) {
      if (!(error instanceof BuildError)) throw error;
      return error.message;
    }
  };

  const refused: readonly (readonly [name: string, answers: readonly Buffer[], message: RegExp])[] = [
    ["asks for a file that there is not", [request(7)], /invalid file id 7/],
    ["asks for a file of 2^32", [request(2 ** 32)], /invalid file id 4294967296/],
    ["asks for a file twice", [request(1), request(1)], /invalid file id 1/],
    ["asks for a file over and over", Array.from({ length: 5000 }, () => request(0)), /invalid file id 0/],
    ["sends files itself", [packet((writer) => writer.stat(undefined))], /the receiver sent files/],
    ["sends data", [packet((writer) => writer.dataHeader(0, 0))], /the receiver sent files/],
    ["fails", [packet((writer) => writer.error("disk full"))], /error from receiver: disk full/],
    ["sends no packet", [frameMessage(Buffer.from([0xff, 0xff]))], /malformed protobuf/],
    ["sends a packet of a type that there is not", [frameMessage(Buffer.from([8, 9]))], /type 9 is unknown/],
    ["sends a message of 4 GiB", [Buffer.from([0, 255, 255, 255, 255])], /over the limit/],
    ["goes at once", [], /the receiver ended the stream early/],
    ["goes while a file is sent", [request(1)], /the receiver ended the stream early|the receiver has gone/],
  ];
  for (const [name, answers, message] of refused) {
    test(`that ${name} is told so`, async () => {
      // The list has to be there before a file can be asked for.
      assert.match(await sendTo(answers), message);
    });
  }

  test("that wants nothing gets nothing", async () => {
    assert.equal(await sendTo([fin]), "sent");
  });

  test("keeps nobody busy and nothing open, whatever it sends", async () => {
    const anyAnswer = fc.oneof(
      fc.nat({ max: 4 }).map(request),
      fc.constant(fin),
      fc.uint8Array({ maxLength: 20 }).map((bytes) => frameMessage(bytes)),
      fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    );
    await sendTo([fin]);
    const descriptors = readdirSync("/proc/self/fd").length;
    await fc.assert(
      fc.asyncProperty(fc.array(anyAnswer, { maxLength: 6 }), async (answers) => {
        assert.notEqual(await sendTo(answers), "");
      }),
      { numRuns: process.env["NIGHTLY"] === undefined ? 200 : 5000 },
    );
    for (let attempt = 0; attempt < 20_000 && readdirSync("/proc/self/fd").length > descriptors; attempt += 1)
      await new Promise((resolve) => setImmediate(resolve));
    assert.ok(readdirSync("/proc/self/fd").length <= descriptors);
  });
});

function packet(write: (writer: PacketWriter) => void): Buffer {
  const writer = new PacketWriter();
  write(writer);
  return writer.take();
}
