import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request as startRequest } from "node:http";
import http2 from "node:http2";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { Control } from "@buildkit-ts/api/buildkit/control";
import { callUnary } from "@buildkit-ts/session/rpc";
import { ClientSession, shareDirectories } from "@buildkit-ts/session/serving";
import { TestDaemon } from "./support/daemon.ts";
import { temporaryFolder } from "./support/processes.ts";

test("a build reads its context from a session that was opened by HTTP/1.1", async () => {
  using folder = temporaryFolder("upgraded-session");
  await using daemon = await TestDaemon.start(folder.path);
  const context = join(folder.path, "context");
  mkdirSync(context);
  writeFileSync(join(context, "Dockerfile"), "FROM scratch\nCOPY . /\n");
  writeFileSync(join(context, "large"), Buffer.alloc(20 << 20, "x"));
  const session = new ClientSession({
    sharedKey: "k",
    attachables: [shareDirectories({ context, dockerfile: context })],
  });
  const socketPath = daemon.address.slice("unix://".length);
  const headers = Object.entries(session.metadata).map(([name, value]): [string, string | string[]] => [
    name,
    typeof value === "string" ? value : [...value],
  ]);
  const request = startRequest({
    socketPath,
    method: "POST",
    path: "/session",
    headers: { connection: "Upgrade", upgrade: "h2c", ...Object.fromEntries(headers) },
  });
  request.end();
  const [response, socket, head] = (await once(request, "upgrade")) as [IncomingMessage, Socket, Buffer];
  assert.equal(response.statusCode, 101);
  socket.unshift(head);
  const ended = new AbortController();
  const served = session.serve(socket, { signal: ended.signal });
  const connection = http2.connect("http://localhost", { createConnection: () => connect(socketPath) });
  const build = { Ref: "upgraded", Session: session.id, Frontend: "dockerfile.v0", FrontendAttrs: {} };
  const call = { method: Control.method.solve, request: build };
  await callUnary(connection, call, { signal: AbortSignal.timeout(30_000) });
  connection.close();
  ended.abort(new DOMException("The build is done", "AbortError"));
  await served;
  assert.match(await daemon.buildctlOk(["du", "-v"]), /COPY \. \//);
});
