import type { ExpectedContent } from "./content-weights.ts";
import type { ReceiveOptions, ReceiveResult } from "./receive-options.ts";

/** What is told to the thread that receives files. */
export type ToReceiver =
  | { readonly type: "start"; readonly id: number; readonly options: ReceiveOptions }
  /** The answer to `changed`. */
  | { readonly type: "destination"; readonly id: number; readonly destination: string }
  | { readonly type: "data"; readonly id: number; readonly buffer: ArrayBuffer; readonly length: number }
  | { readonly type: "stop"; readonly id: number };

/** What that thread answers. */
export type FromReceiver =
  | {
      readonly type: "progress";
      readonly id: number;
      /** The buffer that was handed over, and how many bytes of it are dealt with. */
      readonly buffer: ArrayBuffer;
      readonly taken: number;
      readonly received: number;
      readonly send: Uint8Array | undefined;
      /** Set once, at the end of the list. */
      readonly expected: ExpectedContent | undefined;
      /** Set when the transfer is complete. */
      readonly result: ReceiveResult | undefined;
    }
  /** There is a change, and no destination yet. Nothing goes on until it is told. */
  | { readonly type: "changed"; readonly id: number }
  /** The answer to `stop`: nothing is written any more. */
  | { readonly type: "stopped"; readonly id: number }
  | {
      readonly type: "failed";
      readonly id: number;
      readonly code: string;
      readonly message: string;
    };
