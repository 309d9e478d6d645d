/** What is used of JSON Schema in OpenAPI 3.0. */
export type Schema = {
  $ref?: string;
  type?: string;
  nullable?: boolean;
  enum?: unknown[];
  properties?: Record<string, Schema>;
  patternProperties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  anyOf?: Schema[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  pattern?: string;
  format?: string;
};
export type Schemas = Record<string, Schema>;

/**
 * Where a value departs from its schema: a line each, with the place. Members that the schema does not name are departures too, unless
 * it says that there may be more: a document that leaves members out is not whole.
 */
export function departures(value: unknown, schema: Schema, schemas: Schemas, at = ""): string[] {
  if (schema.$ref !== undefined) {
    const found = schemas[schema.$ref.replace("#/components/schemas/", "")];
    return found === undefined ? [`${at}: ${schema.$ref} is not there`] : departures(value, found, schemas, at);
  }
  if (value === null) return schema.nullable === true ? [] : [`${at}: is null`];
  if (schema.anyOf !== undefined) {
    const fits = schema.anyOf.some((one) => departures(value, one, schemas, at).length === 0);
    return fits ? [] : [`${at}: fits none of its forms`];
  }
  if (schema.enum !== undefined && !schema.enum.includes(value))
    return [`${at}: ${JSON.stringify(value)} is none of its words`];
  switch (schema.type) {
    case undefined:
      return [];
    case "object":
      return objectDepartures(value, schema, schemas, at);
    case "array":
      return arrayDepartures(value, schema, schemas, at);
    default:
      return scalarDepartures(value, schema, at);
  }
}

/** Every `$ref` below a value. */
export function references(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    name === "$ref" && typeof inner === "string" ? [inner] : references(inner),
  );
}

function objectDepartures(value: unknown, schema: Schema, schemas: Schemas, at: string): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [`${at}: is no object`];
  const members: Record<string, unknown> = { ...value };
  const missing = (schema.required ?? []).filter((name) => !Object.hasOwn(members, name));
  return [
    ...missing.map((name) => `${at}/${name}: is missing`),
    ...Object.entries(members).flatMap(([name, inner]) => {
      const known = schema.properties?.[name] ?? patternFor(name, schema);
      if (known !== undefined) return departures(inner, known, schemas, `${at}/${name}`);
      return schema.additionalProperties === true ? [] : [`${at}/${name}: is not described`];
    }),
  ];
}

function patternFor(name: string, { patternProperties, additionalProperties }: Schema): Schema | undefined {
  const found = Object.entries(patternProperties ?? {}).find(([pattern]) => new RegExp(pattern).test(name));
  return found?.[1] ?? (typeof additionalProperties === "object" ? additionalProperties : undefined);
}

function arrayDepartures(value: unknown, schema: Schema, schemas: Schemas, at: string): string[] {
  if (!Array.isArray(value)) return [`${at}: is no list`];
  if (value.length < (schema.minItems ?? 0) || value.length > (schema.maxItems ?? Number.POSITIVE_INFINITY))
    return [`${at}: has ${value.length} items`];
  const { items } = schema;
  return items === undefined ? [] : value.flatMap((item, index) => departures(item, items, schemas, `${at}/${index}`));
}

function scalarDepartures(value: unknown, schema: Schema, at: string): string[] {
  const isOfType = schema.type === "integer" ? Number.isInteger(value) : typeof value === schema.type;
  if (!isOfType) return [`${at}: ${JSON.stringify(value)} is no ${schema.type}`];
  if (typeof value === "number") {
    const isIn = value >= (schema.minimum ?? -Infinity) && value <= (schema.maximum ?? Infinity);
    return isIn ? [] : [`${at}: ${value} is out of bounds`];
  }
  if (typeof value !== "string") return [];
  const isLong = value.length >= (schema.minLength ?? 0) && value.length <= (schema.maxLength ?? Infinity);
  const isShaped = schema.pattern === undefined || new RegExp(schema.pattern).test(value);
  const isTime =
    schema.format !== "date-time" || /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(value);
  return isLong && isShaped && isTime ? [] : [`${at}: ${JSON.stringify(value.slice(0, 100))} does not fit`];
}
