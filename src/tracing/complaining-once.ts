import type { SpanExporter } from "@opentelemetry/sdk-trace";
import type { Log } from "../log.ts";

type Result = Parameters<Parameters<SpanExporter["export"]>[1]>[0];

/** What `ExportResultCode.SUCCESS` of @opentelemetry/core is. */
const successCode = 0;
const failureCode = 1;

/** An exporter whose failures are said once, and then its recovery: a collector that is away is not the service's trouble. */
export function complainingOnce(exporter: SpanExporter, url: string, log: Log): SpanExporter {
  let isFailing = false;
  let lost = 0;
  const note = (spans: number, { code, error }: Result) => {
    if (code === successCode) {
      if (isFailing) log.info("traces are taken again", { url: shown(url), lost_spans: lost });
      isFailing = false;
      lost = 0;
      return;
    }
    if (!isFailing) log.warn("traces are not taken: spans are lost until they are", { url: shown(url), fault: error });
    isFailing = true;
    lost += spans;
  };
  return {
    export: (spans, done) => {
      const ended = (result: Result) => {
        note(spans.length, result);
        done(result);
      };
      try {
        exporter.export(spans, ended);
      } catch (fault) {
        ended({ code: failureCode, error: fault instanceof Error ? fault : new Error("thrown", { cause: fault }) });
      }
    },
    shutdown: () => exporter.shutdown(),
  };
}

/** An address may carry a password. */
function shown(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}
