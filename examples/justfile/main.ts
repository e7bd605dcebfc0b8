import { runFrontendImage } from "@buildkit-ts/frontend";
import { justfileFrontend } from "./justfile-frontend.ts";

await runFrontendImage(justfileFrontend);
