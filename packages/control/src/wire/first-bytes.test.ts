import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { suite, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Spoken, spokenIn, whenSpoken } from "./first-bytes.ts";

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

suite("spokenIn()", () => {
  for (const [bytes, spoken] of [
    ["", undefined],
    ["P", undefined],
    ["PRI", undefined],
    [preface, "http2"],
    ["PO", "http1"],
    ["POST /session HTTP/1.1\r\n", "http1"],
    ["PRIVATE / HTTP/1.1\r\n", "http1"],
    ["G", "http1"],
    ["\u0016\u0003\u0001", "http2"],
    ["post", "http2"],
    ["\r\n", "http2"],
  ] as const)
    test(`of ${JSON.stringify(bytes.slice(0, 12))} is ${spoken ?? "unknown"}`, () => {
      assert.equal(spokenIn(Buffer.from(bytes, "latin1")), spoken);
    });
});

suite("whenSpoken()", () => {
  test("leaves all bytes to who reads then, however they came", async () => {
    for (const parts of [
      [preface, "rest"],
      [...preface.split(""), "rest"],
    ]) {
      const connection = new PassThrough();
      const told = new Promise<Spoken>((resolve) => whenSpoken(connection, resolve));
      for (const part of parts) {
        connection.write(part);
        await nextTurn();
      }
      assert.equal(await told, "http2");
      connection.end();
      const chunks: Buffer[] = [];
      for await (const chunk of connection as AsyncIterable<Buffer>) chunks.push(chunk);
      assert.equal(Buffer.concat(chunks).toString(), `${preface}rest`);
    }
  });

  test("survives a connection that is reset before it says anything", async () => {
    const connection = new PassThrough();
    whenSpoken(connection, () => assert.fail("it said nothing"));
    connection.destroy(new Error("reset"));
    await nextTurn();
    assert.ok(connection.destroyed);
  });
});
