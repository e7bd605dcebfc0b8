export type { AppliedLayer, LayerCodec, MadeLayer, MakeLayerOptions } from "./layers.ts";
export { WorkerLayerCodec, type WorkerLayerCodecOptions } from "./worker-layer-codec.ts";
