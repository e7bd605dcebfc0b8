export { MetadataDatabase, type Row, type SqlValue } from "./metadata-database.ts";
