import { BuildError } from "@buildkit-ts/errdefs";
import { verifyPgpSignature } from "../signatures/pgp-signature.ts";
import { verifySshSignature } from "../signatures/ssh-signature.ts";
import { type GitObject, parseGitObject } from "./git-object.ts";

/** Who must have signed a commit, or the tag that names it. */
export interface GitSignaturePolicy {
  /** Armoured PGP keys, or a line of `authorized_keys`. */
  readonly publicKey: string;
  readonly rejectExpired: boolean;
  readonly requireSignedTag: boolean;
  /** The commit itself counts, whatever the tag says. */
  readonly ignoreSignedTag: boolean;
}

/** The objects that a ref leads to, with their ids. */
export interface SignedObjects {
  readonly commit: { readonly id: string; readonly bytes: Uint8Array };
  readonly tag: { readonly id: string; readonly bytes: Uint8Array } | undefined;
}

/** @throws {BuildError} `permission_denied`, unless the tag or the commit is signed as the policy wants it. */
export async function verifyGitSignature(objects: SignedObjects, policy: GitSignaturePolicy): Promise<void> {
  const { tag, commit } = objects;
  if (policy.requireSignedTag && (tag === undefined || policy.ignoreSignedTag))
    throw new BuildError("permission_denied", "signed tag required but no signed tag found");
  if (tag !== undefined && !policy.ignoreSignedTag) {
    try {
      await verifyObject(parseGitObject(tag.bytes, tag.id), policy);
      return;
    } catch (error) {
      // A commit that is signed will do, unless the tag itself has to be.
      if (policy.requireSignedTag || !(error instanceof BuildError) || error.code === "data_loss") throw error;
    }
  }
  await verifyObject(parseGitObject(commit.bytes, commit.id), policy);
}

async function verifyObject(object: GitObject, policy: GitSignaturePolicy): Promise<void> {
  const { signature, signedData } = object;
  if (signature === "") throw new BuildError("permission_denied", "git object is not signed");
  if (signature.startsWith("-----BEGIN PGP SIGNATURE-----"))
    return await verifyPgpSignature(signedData, { armored: signature, publicKeys: policy.publicKey }, policy);
  if (signature.startsWith("-----BEGIN SSH SIGNATURE-----"))
    return verifySshSignature(signedData, signature, policy.publicKey);
  throw new BuildError("invalid_argument", "invalid signature format");
}
