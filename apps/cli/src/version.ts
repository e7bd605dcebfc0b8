/** What `--version` prints: four fields, as clients split it, with the version that the daemon tells. */
export const versionLine: string = `buildctl github.com/moby/buildkit v0.33.0-ts.0.1.0 ${process.env["BUILDKIT_TS_REVISION"] || "source"}\n`;
