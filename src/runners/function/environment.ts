import { flyStorageSecrets } from "../../settings/fly-storage.ts";

/** Fairlead's own settings that no function may see, besides those that are marked secret. */
const ownNames =
  /^(?:AUTH_KEY|LB_AUTH_KEY|SECRET_KEY|DATABASE_(?:LISTEN_)?URL|PGPASSWORD|API_KEY|WEBHOOK_SECRET|WEBHOOK_HEADERS|S3_.*|JWT_.*|OTEL_EXPORTER_OTLP_(?:TRACES_)?HEADERS)$/;

/** What a function process gets of the server's environment: all but Fairlead's secrets and the names in `secretNames`. */
export function functionEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  secretNames: readonly string[] = [],
): Record<string, string> {
  const kept: Record<string, string> = {};
  const secret = new Set([...secretNames, ...flyStorageSecrets(environment)]);
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined || ownNames.test(name) || secret.has(name)) continue;
    kept[name] = value;
  }
  return kept;
}
