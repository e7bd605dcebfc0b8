import { BuildError } from "@buildkit-ts/errdefs";
import { quote } from "@buildkit-ts/gotext";
import { formatReference, parseReference, withDefaultTag } from "@buildkit-ts/oci";
import { csvFields } from "../text/csv-fields.ts";
import { invalid, prefixError } from "../text/located-error.ts";
import { withPrefix } from "./option-values.ts";

/** Which statements about the result the client wants. */
export interface AttestationRequests {
  /** Parameters of the provenance, which the daemon states. */
  readonly provenance: Readonly<Record<string, string>> | undefined;
  readonly sbom: SbomRequest | undefined;
}

/** A scan of the result by an image. */
export interface SbomRequest {
  /** Full reference of the scanner. */
  readonly generator: string;
  /** Passed on as `BUILDKIT_SCAN_<name>`. */
  readonly parameters: Readonly<Record<string, string>>;
}

const defaultGenerator = "docker/buildkit-syft-scanner:stable-1";

/**
 * Reads `attest:<type>` and `build-arg:BUILDKIT_ATTEST_<TYPE>`, whose values are CSV lists of parameters.
 *
 * @throws {BuildError} `invalid_argument`, for types that are unknown and lists that are none.
 */
export function readAttestationRequests(options: Readonly<Record<string, string>>): AttestationRequests {
  const requested = new Map<string, Record<string, string>>();
  for (const prefix of ["attest:", "build-arg:BUILDKIT_ATTEST_"]) {
    for (const [name, value] of Object.entries(withPrefix(options, prefix))) {
      const type = name.toLowerCase();
      requested.set(type, readParameters(type, value));
    }
  }
  for (const type of requested.keys()) {
    if (type !== "sbom" && type !== "provenance") throw invalid(`unknown attestation type ${quote(type)}`);
  }
  const sbom = requested.get("sbom");
  return { provenance: requested.get("provenance"), sbom: sbom === undefined ? undefined : readSbom(sbom) };
}

function readParameters(type: string, value: string): Record<string, string> {
  if (value === "") return {};
  try {
    const fields = csvFields(value).map((field) => {
      const at = field.indexOf("=");
      return at < 0 ? [field, ""] : [field.slice(0, at), field.slice(at + 1)];
    });
    return Object.fromEntries(fields);
  } catch (error) {
    throw prefixError(`failed to parse ${type}`, error);
  }
}

function readSbom({ generator = defaultGenerator, ...parameters }: Record<string, string>): SbomRequest {
  if (generator === "") throw invalid("sbom generator cannot be empty");
  try {
    return { generator: formatReference(withDefaultTag(parseReference(generator))), parameters };
  } catch (error) {
    const { code, message } = BuildError.from(error);
    throw new BuildError(code, `failed to parse sbom generator ${generator.slice(0, 300)}: ${message}`, {
      cause: error,
    });
  }
}
