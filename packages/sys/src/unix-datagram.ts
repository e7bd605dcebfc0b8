import { closeSync } from "node:fs";
import { NativeCall } from "./native-call.ts";

const socket = new NativeCall("socket", "int socket(int, int, int)");
const sendto = new NativeCall("sendto", "long sendto(int, const void *, size_t, int, const void *, unsigned int)");

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
const familyBytes = 2;
/** unix(7): `sun_path`, its terminating NUL included. */
const maxPathBytes = 108;

/**
 * Sends one datagram to a Unix socket: a path, or `@name` for one in the abstract namespace.
 *
 * @throws {SystemError} `ECONNREFUSED` or `ENOENT`, when nobody listens; `EINVAL`, for a path that no socket can have.
 */
export function sendDatagram(path: string, text: string): void {
  const address = socketAddress(path);
  const fd = socket.call(undefined, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  try {
    const data = Buffer.from(text);
    sendto.call(path, fd, data, data.length, MSG_NOSIGNAL, address, address.length);
  } finally {
    closeSync(fd);
  }
}

/** `sockaddr_un`: an abstract name begins with a NUL and is not terminated by one. */
export function socketAddress(path: string): Buffer {
  const isAbstract = path.startsWith("@");
  const name = Buffer.from(isAbstract ? `\0${path.slice(1)}` : `${path}\0`);
  const hasNul = name.subarray(isAbstract ? 1 : 0, isAbstract ? undefined : -1).includes(0);
  if (path === "" || hasNul || name.length > maxPathBytes) throw sendto.failure(path.slice(0, 200), EINVAL);
  const family = Buffer.alloc(familyBytes);
  // In the machine's byte order; all machines that we run on are little-endian.
  family.writeUInt16LE(AF_UNIX);
  return Buffer.concat([family, name]);
}

const EINVAL = 22;
