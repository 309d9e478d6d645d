import { customType } from "drizzle-orm/pg-core";

/** Text compared byte by byte: identifiers, never prose. Cheaper than a locale's collation and the same on every database. */
export const key = customType<{ data: string }>({ dataType: () => 'text COLLATE "C"' });

/** A moment, as a JavaScript Date with milliseconds. */
export const moment = customType<{ data: Date; driverData: string }>({ dataType: () => "timestamptz" });

/**
 * JSON kept as the caller wrote it: key order and number digits survive, and `\u0000` is allowed, unlike `jsonb`.
 * Read as text and parsed where it is needed.
 */
export const jsonText = customType<{ data: string }>({ dataType: () => "json" });
