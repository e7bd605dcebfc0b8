/** What the thread that writes large blobs is told. Messages of one blob are dealt with in their order. */
export type ToBlobThread =
  | { readonly type: "open"; readonly id: number; readonly path: string }
  /** Each chunk has a buffer of its own, which is given up once it is written. */
  | { readonly type: "write"; readonly id: number; readonly chunks: readonly Uint8Array<ArrayBuffer>[] }
  /** Syncs and closes the file; answered by `finished`. */
  | { readonly type: "finish"; readonly id: number }
  /** Closes the file as it is; answered by `dropped`. */
  | { readonly type: "drop"; readonly id: number };

/** What it answers. After `failed` only `drop` is answered. */
export type FromBlobThread =
  | { readonly type: "taken"; readonly id: number; readonly bytes: number }
  | { readonly type: "finished"; readonly id: number; readonly digest: string; readonly size: number }
  | { readonly type: "dropped"; readonly id: number }
  | { readonly type: "failed"; readonly id: number; readonly message: string; readonly code: string | undefined };
