import { integer, longSecretList, oneOf, secret, serverAddress, text, url, words } from "../setting.ts";

/** One node among others: its name, the shared bucket, the control plane above it, and traces. */
export const clusterSettings = {
  nodeName: text({ name: "NODE_NAME", help: "stable name of this node; empty: host and port" }),
  nodeTags: words({ name: "NODE_TAGS", help: "what this node offers, for `requires`" }),
  nodeLeaseS: integer({
    name: "NODE_LEASE",
    fallback: "15",
    min: 2,
    max: 600,
    help: "seconds of silence after which others take over a node's work; it stops its own after two thirds",
  }),
  region: text({ name: "REGION", help: "region of this node; empty: `FLY_REGION`" }),
  databaseListenUrl: secret({
    name: "DATABASE_LISTEN_URL",
    help: "way to the same database around a pooler such as PgBouncer, to hear its notifications; empty: `DATABASE_URL`",
  }),
  secretKeys: longSecretList({
    name: "SECRET_KEY",
    charsMin: 32,
    help: "gives the keys of job tokens and of what is stored sealed (webhook headers, secure parameters), the same on every node; the first is in use, further ones open what is older",
  }),
  s3Bucket: text({ name: "S3_BUCKET", help: "bucket for payloads; empty: `DATA_DIR`" }),
  s3Endpoint: url({ name: "S3_ENDPOINT", help: "S3 service" }),
  s3Region: text({ name: "S3_REGION", help: "S3 region" }),
  s3AccessKeyId: secret({ name: "S3_ACCESS_KEY_ID", help: "S3 key" }),
  s3SecretAccessKey: secret({ name: "S3_SECRET_ACCESS_KEY", help: "S3 secret" }),
  serverUrl: serverAddress({ name: "SERVER_URL", help: "Optexity control plane; empty: Fairlead is its own" }),
  apiKey: secret({ name: "API_KEY", help: "key for the control plane" }),
  deployment: oneOf({
    name: "DEPLOYMENT",
    fallback: "dev",
    of: ["dev", "prod"],
    help: "`prod` with ECS metadata registers with the master",
  }),
  envPath: text({ name: "ENV_PATH", help: "file with the Optexity settings" }),
  childPortOffset: integer({
    name: "CHILD_PORT_OFFSET",
    fallback: "9000",
    min: 1,
    max: 65_535,
    help: "container port looked up in ECS metadata",
  }),
  ecsMetadataUri: url({ name: "ECS_METADATA_URI", fallback: "http://169.254.170.2/v3", help: "ECS task metadata" }),
  healthEndpoint: text({ name: "HEALTH_ENDPOINT", fallback: "api/v1/health", help: "control plane path" }),
  inferenceEndpoint: text({ name: "INFERENCE_ENDPOINT", fallback: "api/v1/inference", help: "control plane path" }),
  startTaskEndpoint: text({ name: "START_TASK_ENDPOINT", fallback: "api/v1/start_task", help: "control plane path" }),
  completeTaskEndpoint: text({
    name: "COMPLETE_TASK_ENDPOINT",
    fallback: "api/v1/complete_task",
    help: "control plane path",
  }),
  saveOutputDataEndpoint: text({
    name: "SAVE_OUTPUT_DATA_ENDPOINT",
    fallback: "api/v1/save_output_data",
    help: "control plane path",
  }),
  saveDownloadsEndpoint: text({
    name: "SAVE_DOWNLOADS_ENDPOINT",
    fallback: "api/v1/save_downloads",
    help: "control plane path",
  }),
  saveTrajectoryEndpoint: text({
    name: "SAVE_TRAJECTORY_ENDPOINT",
    fallback: "api/v1/save_trajectory",
    help: "control plane path",
  }),
  otlpEndpoint: url({ name: "OTEL_EXPORTER_OTLP_ENDPOINT", help: "where traces go; empty: nowhere" }),
} as const;
