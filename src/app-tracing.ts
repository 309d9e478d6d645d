import type { Config } from "./config.ts";
import type { Log } from "./log.ts";
import type { Tracing } from "./tracing/tracing.ts";

/** Null unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set: until then nothing of OpenTelemetry is even loaded. */
export async function openTracing(config: Config, log: Log, version: string): Promise<Tracing | null> {
  if (config.otlpEndpoint === "") return null;
  const { startTracing } = await import("./tracing/tracing.ts");
  return startTracing({
    endpoint: config.otlpEndpoint,
    share: config.traceShare,
    version,
    node: config.nodeName,
    region: config.region,
    log,
  });
}
