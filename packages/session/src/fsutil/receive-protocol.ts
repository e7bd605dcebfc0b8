import type { ReceiveOptions, ReceiveResult } from "./receive-engine.ts";

/** What is told to the thread that receives files. */
export type ToReceiver =
  | { readonly type: "start"; readonly id: number; readonly options: ReceiveOptions }
  | { readonly type: "data"; readonly id: number; readonly bytes: Uint8Array }
  | { readonly type: "stop"; readonly id: number };

/** What that thread answers. */
export type FromReceiver =
  | {
      readonly type: "progress";
      readonly id: number;
      /** How many of the bytes that were handed over are dealt with. */
      readonly taken: number;
      readonly received: number;
      readonly send: Uint8Array | undefined;
      /** Set when the transfer is complete. */
      readonly result: ReceiveResult | undefined;
    }
  | {
      readonly type: "failed";
      readonly id: number;
      readonly code: string;
      readonly message: string;
    };
