const secret = /(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)/i;
const harmless = /(?:_|^)(?:public|file|version)(?:_|$)/i;

/** Whether a variable of this name looks as if it held a secret. */
export function looksSecret(name: string): boolean {
  return secret.test(name) && !harmless.test(name);
}
