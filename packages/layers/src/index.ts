export type { LayerCodec, MadeLayer, MakeLayerOptions } from "./layers.ts";
