/** gRPC metadata as they are sent: a key may have several values, which stay apart. */
export type Metadata = Readonly<Record<string, string | readonly string[]>>;

/** Metadata as they arrive: every key with all its values, in lower case. */
export type ReceivedMetadata = Readonly<Record<string, readonly string[]>>;

/**
 * Reads metadata from raw headers (name, value, name, value …).
 *
 * Header *objects* join repeated values with commas, and a pattern may contain commas.
 */
export function metadataFromRawHeaders(rawHeaders: readonly string[]): ReceivedMetadata {
  const metadata: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const key = (rawHeaders[index] ?? "").toLowerCase();
    if (key.startsWith(":")) continue;
    const values = (metadata[key] ??= []);
    values.push(rawHeaders[index + 1] ?? "");
  }
  return metadata;
}

/** The first value of a key; keys are compared without regard to case. */
export function firstValue(metadata: Metadata, key: string): string | undefined {
  return allValues(metadata, key)[0];
}

/** All values of a key; keys are compared without regard to case. */
export function allValues(metadata: Metadata, key: string): readonly string[] {
  const exact = metadata[key];
  if (exact !== undefined) return typeof exact === "string" ? [exact] : exact;
  for (const [name, values] of Object.entries(metadata)) {
    if (name.toLowerCase() === key) return typeof values === "string" ? [values] : values;
  }
  return [];
}

/**
 * Makes options of file sync safe for headers: if a value of a key is not ASCII, all values of that key are
 * query-escaped and `<key>-encoded: 1` says so.
 */
export function encodeOptions(options: Readonly<Record<string, readonly string[]>>): Record<string, readonly string[]> {
  const metadata: Record<string, readonly string[]> = {};
  for (const [key, values] of Object.entries(options)) {
    if (values.every(isHeaderSafe)) {
      metadata[key] = values;
    } else {
      metadata[key] = values.map((value) => encodeURIComponent(value).replaceAll("%20", "+"));
      metadata[`${key}-encoded`] = ["1"];
    }
  }
  return metadata;
}

/** Undoes {@linkcode encodeOptions} for one key. */
export function decodedValues(metadata: ReceivedMetadata, key: string): readonly string[] {
  const values = metadata[key] ?? [];
  if (!/^(1|t|true)$/i.test(metadata[`${key}-encoded`]?.[0] ?? "")) return values;
  return values.map(unescapeQuery);
}

function isHeaderSafe(value: string): boolean {
  for (let index = 0; index < value.length; index += 1) {
    const unit = value.charCodeAt(index);
    if (unit > 0x7e || unit < 0x20) return false;
  }
  return true;
}

function unescapeQuery(value: string): string {
  try {
    return decodeURIComponent(value.replaceAll("+", "%20"));
  } catch {
    // Go's client sends what it cannot decode as an empty string; a malformed escape must not end the session.
    return "";
  }
}
