import { quote } from "@buildkit-ts/gotext";

/** A rule of the linter; names, descriptions, addresses and messages are known to clients. */
export interface Rule<Args extends readonly string[]> {
  readonly name: string;
  readonly description: string;
  readonly url: string;
  readonly experimental: boolean;
  readonly message: (...args: Args) => string;
}

function rule<Args extends readonly string[]>(
  name: string,
  description: string,
  message: (...args: Args) => string,
): Rule<Args> {
  const page = name.replace(/(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/g, "-").toLowerCase();
  const url = `https://docs.docker.com/go/dockerfile/rule/${page}/`;
  return { name, description, url, experimental: false, message };
}

const didYouMean = (match: string, sigil = ""): string => (match === "" ? "" : ` (did you mean ${sigil}${match}?)`);

export const stageNameCasing: Rule<[string]> = rule(
  "StageNameCasing",
  "Stage names should be lowercase",
  (name: string) => `Stage name '${name}' should be lowercase`,
);
export const fromAsCasing: Rule<[string, string]> = rule(
  "FromAsCasing",
  "The 'as' keyword should match the case of the 'from' keyword",
  (from: string, as: string) => `'${as}' and '${from}' keywords' casing do not match`,
);
export const noEmptyContinuation: Rule<[]> = rule(
  "NoEmptyContinuation",
  "Empty continuation lines will become errors in a future release",
  () => "Empty continuation line",
);
export const consistentInstructionCasing: Rule<[string, string]> = rule(
  "ConsistentInstructionCasing",
  "All commands within the Dockerfile should use the same casing (either upper or lower)",
  (command: string, casing: string) => `Command '${command}' should match the case of the command majority (${casing})`,
);
export const duplicateStageName: Rule<[string]> = rule(
  "DuplicateStageName",
  "Stage names should be unique",
  (name: string) => `Duplicate stage name ${quote(name)}, stage names should be unique`,
);
export const reservedStageName: Rule<[string]> = rule(
  "ReservedStageName",
  "Reserved words should not be used as stage names",
  (name: string) => `Stage name should not use the same name as reserved stage ${quote(name)}`,
);
export const jsonArgsRecommended: Rule<[string]> = rule(
  "JSONArgsRecommended",
  "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
  (name: string) => `JSON arguments recommended for ${name} to prevent unintended behavior related to OS signals`,
);
export const maintainerDeprecated: Rule<[]> = rule(
  "MaintainerDeprecated",
  "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
  () => "Maintainer instruction is deprecated in favor of using label",
);
export const undefinedArgInFrom: Rule<[string, string]> = rule(
  "UndefinedArgInFrom",
  "FROM command must use declared ARGs",
  (arg: string, match: string) => `FROM argument '${arg}' is not declared${didYouMean(match)}`,
);
export const workdirRelativePath: Rule<[string]> = rule(
  "WorkdirRelativePath",
  "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
  (path: string) => `Relative workdir ${quote(path)} can have unexpected results if the base image changes`,
);
export const undefinedVar: Rule<[string, string]> = rule(
  "UndefinedVar",
  "Variables should be defined before their use",
  (name: string, match: string) => `Usage of undefined variable '$${name}'${didYouMean(match, "$")}`,
);
export const multipleInstructionsDisallowed: Rule<[string]> = rule(
  "MultipleInstructionsDisallowed",
  "Multiple instructions of the same type should not be used in the same stage",
  (name: string) =>
    `Multiple ${name} instructions should not be used in the same stage because only the last one will be used`,
);
export const legacyKeyValueFormat: Rule<[string]> = rule(
  "LegacyKeyValueFormat",
  "Legacy key/value format with whitespace separator should not be used",
  (name: string) => `"${name} key=value" should be used instead of legacy "${name} key value" format`,
);
export const invalidBaseImagePlatform: Rule<[string, string, string]> = {
  ...rule(
    "InvalidBaseImagePlatform",
    "Base image platform does not match expected target platform",
    (image: string, expected: string, actual: string) =>
      `Base image ${image} was pulled with platform ${quote(actual)}, expected ${quote(expected)} for current build`,
  ),
  url: "",
};
export const redundantTargetPlatform: Rule<[string]> = rule(
  "RedundantTargetPlatform",
  "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
  (text: string) => `Setting platform to predefined ${text} in FROM is redundant as this is the default behavior`,
);
export const secretsUsedInArgOrEnv: Rule<[string, string]> = rule(
  "SecretsUsedInArgOrEnv",
  "Sensitive data should not be used in the ARG or ENV commands",
  (name: string, key: string) => `Do not use ARG or ENV instructions for sensitive data (${name} ${quote(key)})`,
);
export const invalidDefaultArgInFrom: Rule<[string]> = rule(
  "InvalidDefaultArgInFrom",
  "Default value for global ARG results in an empty or invalid base image name",
  (name: string) => `Default value for ARG ${name} results in empty or invalid base image name`,
);
export const fromPlatformFlagConstDisallowed: Rule<[string]> = rule(
  "FromPlatformFlagConstDisallowed",
  "FROM --platform flag should not use a constant value",
  (platform: string) => `FROM --platform flag should not use constant value ${quote(platform)}`,
);
export const copyIgnoredFile: Rule<[string, string]> = rule(
  "CopyIgnoredFile",
  "Attempting to Copy file that is excluded by .dockerignore",
  (command: string, file: string) => `Attempting to ${command} file ${quote(file)} that is excluded by .dockerignore`,
);
export const invalidDefinitionDescription: Rule<[string, string]> = {
  ...rule(
    "InvalidDefinitionDescription",
    "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    (instruction: string, name: string) =>
      `Comment for ${instruction} should follow the format: \`# ${name} <description>\``,
  ),
  experimental: true,
};
export const exposeProtoCasing: Rule<[string]> = rule(
  "ExposeProtoCasing",
  "Protocol in EXPOSE instruction should be lowercase",
  (port: string) => `Defined protocol '${port}' in EXPOSE instruction should be lowercase`,
);
export const exposeInvalidFormat: Rule<[string]> = rule(
  "ExposeInvalidFormat",
  "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release",
  (port: string) => `EXPOSE instruction should not define an IP address or host-port mapping, found '${port}'`,
);
