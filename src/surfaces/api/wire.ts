import { type Static, type TSchema, Type } from "@sinclair/typebox";

/*
 * Building blocks of the models. OpenAPI 3.0 knows `nullable` and `enum`, and neither `null` nor `const`.
 */

/** The same, or null. For answers alone: it is not checked. */
export function nullable<S extends TSchema>(schema: S) {
  return Type.Unsafe<Static<S> | null>({ ...schema, nullable: true });
}

/** A model by its name among the components. For answers alone: it is not checked. */
export function reference<T>(name: string) {
  return Type.Unsafe<T>({ $ref: `#/components/schemas/${name}` });
}

/** One of these words. For answers alone: it is not checked. */
export function oneOf<const W extends string>(words: readonly W[], description?: string) {
  return Type.Unsafe<W>({ type: "string", enum: [...words], ...(description === undefined ? {} : { description }) });
}

/** Any JSON value. */
export function anything(description: string) {
  return Type.Unsafe<unknown>({ description, nullable: true });
}

export const moment = Type.String({ format: "date-time", description: "RFC 3339, UTC, milliseconds" });

/** Ids that a client may choose; those of the service are UUIDv7 and match as well. */
export const idPattern = "^[A-Za-z0-9._:-]{1,128}$";

/** Whether a text can be the id of a job. The two that paths cannot hold are none. */
export function isJobId(text: string): boolean {
  return new RegExp(idPattern).test(text) && text !== "." && text !== "..";
}
