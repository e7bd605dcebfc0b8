import { runFrontendImage } from "@buildkit-ts/frontend";
import { dockerfileFrontend } from "./dockerfile-frontend.ts";

await runFrontendImage(dockerfileFrontend);
