/**
 * The same bytes with no others around them, for messages to threads: a view is cloned together with the whole buffer that it
 * looks at, be it a pool or a message of megabytes.
 */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}
