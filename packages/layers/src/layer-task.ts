import type { Code } from "@buildkit-ts/errdefs";
import type { ApplyLayerTask, InheritTask } from "./apply/apply-layer.ts";
import type { AppliedLayer } from "./layers.ts";
import type { WrittenLayer } from "./make/layer-output.ts";
import type { MakeLayerTask } from "./make/make-layer.ts";
import type { RecompressTask } from "./make/recompress-layer.ts";

/** What a worker thread can be asked to do; paths only, never bulk bytes. */
export type LayerTask =
  | ({ readonly kind: "make" } & MakeLayerTask)
  | ({ readonly kind: "recompress" } & RecompressTask)
  | ({ readonly kind: "apply" } & ApplyLayerTask)
  | ({ readonly kind: "inherit" } & InheritTask);

/** The message to a worker. `abort[0]` becomes 1 when it shall stop: a worker that reads files synchronously gets no messages. */
export interface LayerTaskMessage {
  readonly task: LayerTask;
  readonly abort: Int32Array<SharedArrayBuffer>;
}

/** The worker's answer; one for each message. */
export type LayerTaskAnswer =
  | { readonly kind: "written"; readonly layer: WrittenLayer }
  | { readonly kind: "applied"; readonly layer: AppliedLayer }
  | { readonly kind: "inherited" }
  /** The upper directory cannot be read alone, see {@linkcode UnsupportedUpperError}. */
  | { readonly kind: "unsupportedUpper"; readonly message: string }
  | {
      readonly kind: "failed";
      readonly code: Code;
      readonly message: string;
      readonly hint: string | undefined;
      readonly stack: string | undefined;
    };
