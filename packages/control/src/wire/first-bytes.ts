import type { Duplex } from "node:stream";

/** What every HTTP/2 client sends first, as far as it takes to know it from a method of HTTP/1. */
const preface = Buffer.from("PRI ");

/** What a connection turns out to speak. */
export type Spoken = "http1" | "http2";

/**
 * Tells by its first bytes what a connection speaks, and leaves them to whoever reads it then. What neither of both would
 * send counts as HTTP/2, whose reader says what is wrong with it. A connection that ends before is never told of.
 */
export function whenSpoken(connection: Duplex, tell: (spoken: Spoken) => void): void {
  let first: Buffer = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    first = first.length === 0 ? chunk : Buffer.concat([first, chunk]);
    const spoken = spokenIn(first);
    if (spoken === undefined) return;
    connection.off("data", onData);
    connection.pause();
    connection.unshift(first);
    tell(spoken);
  };
  connection.on("data", onData);
  // Who reads it then has a listener of its own; until then a reset would end the process.
  connection.on("error", () => connection.destroy());
}

/** Undefined while there are too few bytes to know. */
export function spokenIn(bytes: Buffer): Spoken | undefined {
  const length = Math.min(bytes.length, preface.length);
  if (bytes.compare(preface, 0, length, 0, length) === 0) return length < preface.length ? undefined : "http2";
  const [first = 0] = bytes;
  // Methods are capital letters; anything else, such as a TLS greeting, is none.
  return first >= 0x41 && first <= 0x5a ? "http1" : "http2";
}
