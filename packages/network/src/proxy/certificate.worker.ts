import { serveWorkerCalls } from "@buildkit-ts/async";
import { type CertificateRequest, createCertificate } from "./certificate.ts";

serveWorkerCalls<CertificateRequest, string>(createCertificate);
