import type { Writable } from "node:stream";

/** Copies input until either side ends. A process that does not read all of it is nobody's failure. */
export async function feedInput(socket: Writable, input: AsyncIterable<Uint8Array>): Promise<void> {
  socket.on("error", () => undefined);
  for await (const chunk of input) {
    if (socket.destroyed) return;
    if (!socket.write(chunk)) {
      await new Promise<void>((resolve) => {
        socket.once("drain", resolve);
        socket.once("close", resolve);
      });
    }
  }
}
