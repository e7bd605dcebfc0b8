/** The version that clients see. `package` and `version` are compared by other tools; `revision` is the commit, if known. */
export const versionInfo: {
  readonly package: string;
  readonly version: string;
  readonly revision: string;
  readonly dockerfileVersion: string;
} = {
  package: "github.com/moby/buildkit",
  version: "v0.33.0-ts.0.1.0",
  revision: process.env["BUILDKIT_TS_REVISION"] ?? "",
  dockerfileVersion: "1.26.0",
};

/** How we name ourselves to servers, some of which look for BuildKit's name and the first two numbers of its version. */
export const userAgent: string = `buildkit/${/^v\d+\.\d+/.exec(versionInfo.version)?.[0] ?? "v0.0"}-ts`;
