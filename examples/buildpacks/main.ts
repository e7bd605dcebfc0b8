import { runFrontendImage } from "@buildkit-ts/frontend";
import { buildpacksFrontend } from "./buildpacks-frontend.ts";

await runFrontendImage(buildpacksFrontend);
