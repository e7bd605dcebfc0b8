import { Console } from "node:console";
import { type ClientHttp2Session, connect } from "node:http2";
import { Duplex } from "node:stream";
import { bulkSessionOptions, widenWindow } from "@buildkit-ts/session/rpc";

/**
 * The daemon's connection on standard input and output.
 *
 * From now on nothing else may write to standard output: `console` is sent to standard error, which goes to the daemon's log.
 */
export function connectStdio(): ClientHttp2Session {
  const { stdin, stdout, stderr } = process;
  globalThis.console = new Console({ stdout: stderr, stderr });
  // The pair is accepted; its type is missing in Node's declarations.
  const pair: object = { readable: stdin, writable: stdout };
  const pipe = Duplex.from(pair as NodeJS.ReadableStream);
  const session = connect("http://localhost", { ...bulkSessionOptions, createConnection: () => pipe });
  // Later failures are those of the calls that meet them.
  session.on("error", () => undefined);
  session.once("connect", () => widenWindow(session));
  return session;
}
