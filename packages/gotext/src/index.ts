export { formatDuration, parseDuration, type ReadDuration } from "./duration.ts";
export { formatBytes, formatBytesShort } from "./format-bytes.ts";
export { formatTime } from "./format-time.ts";
export { escapeGoJson, formatGoJson, sortKeys } from "./go-json.ts";
export { parseBool } from "./parse-bool.ts";
export { quote, quoteList } from "./quote.ts";
