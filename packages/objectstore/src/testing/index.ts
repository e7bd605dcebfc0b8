export { AzuriteServer } from "./azurite-server.ts";
export { GithubServer } from "./github-server.ts";
export { makeBlob, type OpenPlace, objectStoreSuite, read } from "./object-store-suite.ts";
export { S3Server } from "./s3-server.ts";
