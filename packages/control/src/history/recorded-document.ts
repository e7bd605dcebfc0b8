/** A statement about one tree of a build's result, as records keep it. */
export interface RecordedDocument {
  /** The tree's key, where the result is a map of platforms. */
  readonly platform: string | undefined;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  readonly annotations: Readonly<Record<string, string>>;
}
