import { runFrontendImage } from "@buildkit-ts/frontend";
import { earthfileFrontend } from "./earthfile-frontend.ts";

await runFrontendImage(earthfileFrontend);
