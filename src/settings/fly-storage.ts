type Environment = Readonly<Record<string, string | undefined>>;

/** What `fly storage create` calls the bucket, and what we call it. */
const given = {
  S3_BUCKET: "BUCKET_NAME",
  S3_ENDPOINT: "AWS_ENDPOINT_URL_S3",
  S3_ACCESS_KEY_ID: "AWS_ACCESS_KEY_ID",
  S3_SECRET_ACCESS_KEY: "AWS_SECRET_ACCESS_KEY",
} as const;

/** The bucket that Fly gave the app, as our own settings; empty elsewhere, and when `S3_BUCKET` names another. */
export function flyStorage(environment: Environment): Record<string, string> {
  const isElsewhere = !environment["FLY_APP_NAME"] || Boolean(environment["S3_BUCKET"]);
  const found = Object.entries(given).map(([name, theirs]) => [name, environment[theirs] ?? ""] as const);
  if (isElsewhere || found.some(([, value]) => value === "")) return {};
  return { ...Object.fromEntries(found), S3_REGION: environment["AWS_REGION"] || "auto" };
}

/** The variables with that bucket's keys, which nobody but the service may see; none when it is not used. */
export function flyStorageSecrets(environment: Environment): string[] {
  const isUsed = Object.keys(flyStorage(environment)).length > 0;
  return isUsed ? [given.S3_ACCESS_KEY_ID, given.S3_SECRET_ACCESS_KEY] : [];
}
