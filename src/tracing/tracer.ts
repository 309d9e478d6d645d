import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span as ApiSpan,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { detectResources, envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import type { Log } from "../log.ts";
import { complainingOnce } from "./complaining-once.ts";

export type TracerOptions = {
  /** `OTEL_EXPORTER_OTLP_ENDPOINT`: spans go to `/v1/traces` below it, as JSON. */
  endpoint: string;
  /** Of the traces that begin here; a caller's decision holds for its own. */
  share: number;
  version: string;
  node: string;
  region: string;
  log: Log;
};

export type SpanFacts = Attributes;
export type SpanStart = {
  name: string;
  kind: "send" | "work" | "call" | "wait";
  /** The traceparent of what this is a part of; null begins a trace. */
  parent: string | null;
  /** Since the epoch; now unless said. */
  startedMs?: number;
  facts: SpanFacts;
};

/** `error` is a few words when it failed. A span is told once it has ended, and ends once. */
export type Span = {
  traceparent: string;
  end(facts?: SpanFacts, options?: { error?: string | undefined; endedMs?: number }): void;
};

/** Begins spans and sends those that have ended, in batches. */
export type Tracer = {
  start(begun: SpanStart): Span;
  /** Sends what is left, and gives up after three seconds. */
  close(): Promise<void>;
};

const exportMs = 10_000;
const closeMs = 3_000;
/** What is kept for a collector that is slow or away; spans beyond that are dropped. */
const queueMax = 8_192;
const sendEveryMs = 1_000;
const factCharsMax = 256;
const kinds = {
  send: SpanKind.PRODUCER,
  work: SpanKind.CONSUMER,
  call: SpanKind.CLIENT,
  wait: SpanKind.INTERNAL,
} as const;

/** Parents are named by each span, so nothing is hung on the contexts of calls, and no library is patched. */
export function createTracer(options: TracerOptions): Tracer {
  const { endpoint, share, version, log } = options;
  const url = new URL("v1/traces", endpoint.endsWith("/") ? endpoint : `${endpoint}/`).href;
  const exporter = complainingOnce(new OTLPTraceExporter({ url, timeoutMillis: exportMs }), url, log);
  const processor = new BatchSpanProcessor({
    exporter,
    maxQueueSize: queueMax,
    scheduledDelayMillis: sendEveryMs,
    exportTimeoutMillis: exportMs,
  });
  const provider = new TracerProvider({
    resource: resourceOf(options),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(share) }),
    spanLimits: { attributeValueLengthLimit: factCharsMax },
    spanProcessors: [processor],
  });
  const tracer = provider.getTracer("fairlead", version);
  return {
    start: ({ name, kind, parent, startedMs, facts }) => {
      const begun = {
        kind: kinds[kind],
        attributes: facts,
        ...(startedMs === undefined ? {} : { startTime: startedMs }),
      };
      return spanOf(tracer.startSpan(name, begun, contextOf(parent)));
    },
    close: () => Promise.race([provider.shutdown(), Bun.sleep(closeMs)]),
  };
}

function resourceOf({ version, node, region }: TracerOptions) {
  const own = resourceFromAttributes({
    "service.name": "fairlead",
    "service.version": version,
    "service.instance.id": node,
    "fairlead.node": node,
    ...(region === "" ? {} : { "cloud.region": region, "fairlead.region": region }),
  });
  // OTEL_RESOURCE_ATTRIBUTES adds to it; what is said here stays.
  return detectResources({ detectors: [envDetector] }).merge(own);
}

function spanOf(span: ApiSpan): Span {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return {
    traceparent: `00-${traceId}-${spanId}-0${traceFlags & 1}`,
    end: (facts = {}, { error, endedMs } = {}) => {
      span.setAttributes(facts);
      if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: error });
      span.end(endedMs);
    },
  };
}

function contextOf(traceparent: string | null): Context {
  const [, traceId = "", spanId = "", flags = ""] = traceparent?.split("-") ?? [];
  if (traceId === "") return ROOT_CONTEXT;
  const parent = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
  return trace.setSpanContext(ROOT_CONTEXT, parent);
}
