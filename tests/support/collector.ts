type Value = { stringValue?: string; intValue?: number | string; doubleValue?: number; boolValue?: boolean };
type Attribute = { key: string; value: Value };
type SentSpan = {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Attribute[];
  status: { code?: number; message?: string };
};
type Export = { resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: SentSpan[] }[] }[] };

export type CollectedSpan = Omit<SentSpan, "attributes" | "startTimeUnixNano" | "endTimeUnixNano"> & {
  facts: Record<string, unknown>;
  resource: Record<string, unknown>;
  startedMs: number;
  endedMs: number;
};

export type Collector = {
  url: string;
  spans: CollectedSpan[];
  /** Paths that were posted to. */
  paths: Set<string>;
  /** What is answered from now on; 200 at first. */
  answer(status: number): void;
  stop(): Promise<void>;
};

/** Takes what OTLP/HTTP sends as JSON: https://opentelemetry.io/docs/specs/otlp/#otlphttp */
export function startCollector(port = 0): Collector {
  const [spans, paths]: [CollectedSpan[], Set<string>] = [[], new Set()];
  let status = 200;
  const server = Bun.serve({
    port,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      paths.add(new URL(request.url).pathname);
      if (status === 200) spans.push(...read((await request.json()) as Export));
      return Response.json({}, { status });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    spans,
    paths,
    answer: (next) => {
      status = next;
    },
    stop: () => server.stop(true),
  };
}

function read({ resourceSpans }: Export): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans
      .flatMap(({ spans }) => spans)
      .map(({ attributes, startTimeUnixNano, endTimeUnixNano, ...span }) => ({
        ...span,
        facts: plain(attributes),
        resource: plain(resource.attributes),
        startedMs: Number(BigInt(startTimeUnixNano) / 1_000n) / 1_000,
        endedMs: Number(BigInt(endTimeUnixNano) / 1_000n) / 1_000,
      })),
  );
}

function plain(attributes: Attribute[]): Record<string, unknown> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [
      key,
      value.intValue === undefined ? Object.values(value)[0] : Number(value.intValue),
    ]),
  );
}
