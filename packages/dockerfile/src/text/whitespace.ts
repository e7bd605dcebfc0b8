/** Whether the code point is white space in Unicode's sense (the property White_Space), which Dockerfile syntax uses. */
export function isSpace(code: number): boolean {
  if (code < 0x80) return code === 0x20 || (code >= 0x09 && code <= 0x0d);
  return (
    code === 0x85 ||
    code === 0xa0 ||
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x200a) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x202f ||
    code === 0x205f ||
    code === 0x3000
  );
}

/** The text without white space at its beginning. */
export function trimSpaceLeft(text: string): string {
  let start = 0;
  while (start < text.length && isSpace(text.charCodeAt(start))) start++;
  return text.slice(start);
}

/** The text without white space at both ends. `String.trim` differs: it keeps U+0085 and removes U+FEFF. */
export function trimSpace(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text.charCodeAt(end - 1))) end--;
  return trimSpaceLeft(text.slice(0, end));
}

/** Splits at the first run of blanks (`[\t\v\f\r ]+`, no newline); one part if there is none. */
export function splitFirstBlank(text: string): string[] {
  const match = /[\t\v\f\r ]+/.exec(text);
  return match === null ? [text] : [text.slice(0, match.index), text.slice(match.index + match[0].length)];
}

/** Both sides of the first `separator`; the right side is undefined if there is none. */
export function cut(text: string, separator: string): readonly [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}
