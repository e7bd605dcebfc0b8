import { closeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { NativeCall } from "../native-call.ts";
import { socketAddress } from "../unix-datagram.ts";

const socket = new NativeCall("socket", "int socket(int, int, int)");
const bind = new NativeCall("bind", "int bind(int, const void *, unsigned int)");
const recv = new NativeCall("recv", "long recv(int, _Out_ void *, size_t, int)");

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;
const EAGAIN = 11;

/** A Unix datagram socket to receive from, as a service manager has one. */
export class DatagramReceiver implements Disposable {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = socket.call(undefined, AF_UNIX, SOCK_DGRAM, 0);
    const address = socketAddress(path);
    bind.call(path, this.#fd, address, address.length);
  }

  /** The next datagram, as soon as there is one. */
  async receive(options: { readonly signal: AbortSignal }): Promise<string> {
    const buffer = Buffer.alloc(4096);
    for (;;) {
      const length = recv.tryCall(this.#fd, buffer, buffer.length, MSG_DONTWAIT);
      if (length >= 0) return buffer.toString("utf8", 0, length);
      if (length !== -EAGAIN) throw recv.failure(undefined, -length);
      await setTimeout(10, undefined, options);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
