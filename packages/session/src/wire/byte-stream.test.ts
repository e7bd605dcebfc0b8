import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { bytesMessagePrefix, GrpcByteStream } from "./byte-stream.ts";

test("what a peer sent before it closed the stream can be read afterwards", async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  server.on("stream", (stream: ServerHttp2Stream) => {
    const data = Buffer.from("all of it");
    stream.respond({ ":status": 200 });
    stream.end(Buffer.concat([bytesMessagePrefix(data.length), data]));
    // gRPC servers reset a call that they have answered, since the client's half is still open.
    stream.once("finish", () => stream.close());
  });
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  t.after(() => {
    client.destroy();
    server.close();
  });
  const call = client.request({ ":method": "POST", ":path": "/upload" }, { endStream: false });
  const bytes = new GrpcByteStream(call);
  await once(call, "close");
  assert.equal(Buffer.concat(await Array.fromAsync(bytes)).toString(), "all of it");
  assert.ok(bytes.destroyed);
});
