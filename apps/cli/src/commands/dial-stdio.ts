import { connect } from "node:net";
import { pipeline } from "node:stream/promises";
import { BuildError } from "@buildkit-ts/errdefs";
import type { CommandContext } from "../command.ts";
import { defaultAddress } from "../global-flags.ts";
import { namedAddress } from "../open-client.ts";

/** Copies between standard input and output and the daemon's socket, each direction until its own end. */
export async function dialStdio({ globals, signal }: CommandContext): Promise<void> {
  const address = namedAddress(globals) ?? defaultAddress;
  if (!address.startsWith("unix://")) {
    throw new BuildError("invalid_argument", `invalid address ${address} (expected unix://)`);
  }
  const socket = connect({ path: address.slice("unix://".length), allowHalfOpen: true });
  const timeoutMs = globals.number("timeout") * 1000;
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new BuildError("deadline_exceeded", `dial ${address}: i/o timeout`)),
      timeoutMs || 2 ** 30,
    );
    socket.once("connect", () => {
      clearTimeout(timer);
      resolve();
    });
    socket.once("error", (error) => {
      clearTimeout(timer);
      reject(new BuildError("unavailable", `dial ${address}: ${error.message}`, { cause: error }));
    });
  });
  const toDaemon = pipeline(process.stdin, socket, { signal });
  toDaemon.catch(() => undefined);
  // The end of the daemon's side ends the command: standard input of a terminal never ends.
  await pipeline(socket, process.stdout, { signal, end: false });
}
