import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { readOpenMetrics } from "../support/openmetrics.ts";
import { type Service, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

type Query = { refId: string; expr: string; datasource: { uid: string } };
type Place = { x: number; y: number; w: number; h: number };
type Panel = {
  id: number;
  type: string;
  title: string;
  gridPos: Place;
  targets?: Query[];
  datasource?: { uid: string };
};
type Variable = { name: string; type: string; query: string | { query: string } };
type Dashboard = {
  uid: string;
  title: string;
  schemaVersion: number;
  panels: Panel[];
  templating: { list: Variable[] };
};

/** Samples by their name, with every label that any of them has. */
const told = new Map<string, Set<string>>();
let service: Service;
let dashboard: Dashboard;
beforeAll(async () => {
  dashboard = (await Bun.file(join(import.meta.dir, "../../deploy/grafana.json")).json()) as Dashboard;
  service = await startService({ SANDBOX: "none" });
  await service.post("/api/v1/jobs", { function: "hello", input: { name: "Ada" } }, { prefer: "wait=15" });
  // Without a message in the queue nobody takes it: it waits.
  await service.rooms.database.db.sql.unsafe(`
    INSERT INTO jobs (id, surface, client, runner, status, priority, name, input, queued_at)
    VALUES ('waits', 'api', 'test', 'script', 'queued', 1, 'x', '{}', now());
    INSERT INTO tasks (job_id, index, runner, target, status, priority, timeout_ms, queued_at)
    VALUES ('waits', 0, 'script', 'x', 'queued', 1, 1000, now())`);
  // A reading of the queues that takes too long is left out, and there the next time.
  const families = await until(
    "the queues are read",
    async () => {
      const read = readOpenMetrics(await (await service.call("/metrics")).text());
      return (read.get("fairlead_queue_oldest_seconds")?.samples.length ?? 0) > 0 ? read : null;
    },
    { withinMs: 30_000 },
  );
  for (const [name, { type, samples }] of families) {
    // One without samples at the moment is told all the same.
    told.set(`${name}${{ counter: "_total", info: "_info" }[type] ?? ""}`, new Set());
    for (const { name: sample, labels } of samples) {
      const known = told.get(sample) ?? new Set();
      for (const label of Object.keys(labels)) known.add(label);
      told.set(sample, known);
    }
  }
}, 60_000);
afterAll(() => service.stop(), 30_000);

const queries = () =>
  dashboard.panels.flatMap(({ title, targets = [] }) => targets.map((target) => ({ title, ...target })));
const variables = () => dashboard.templating.list;
const metricsIn = (expression: string) => [...expression.matchAll(/\b(?:fairlead|process)_\w+/g)].map(([name]) => name);

describe("the dashboard", () => {
  test("is one that Grafana takes: a schema, and panels with ids of their own that do not overlap", () => {
    expect(dashboard.schemaVersion).toBeGreaterThanOrEqual(36);
    expect([dashboard.uid, dashboard.title]).toEqual(["fairlead", "Fairlead"]);
    const ids = dashboard.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const cells = dashboard.panels.flatMap(({ title, gridPos }) => cellsOf(gridPos).map((cell) => ({ cell, title })));
    const shared = [...Map.groupBy(cells, ({ cell }) => cell).values()].filter((titles) => titles.length > 1);
    expect(shared).toEqual([]);
    expect(dashboard.panels.filter(({ gridPos: { x, w } }) => x + w > 24)).toEqual([]);
  });

  test("asks the data source that is chosen, in every panel", () => {
    expect(variables()[0]).toMatchObject({ name: "datasource", type: "datasource", query: "prometheus" });
    const shown = dashboard.panels.filter(({ type }) => type !== "row");
    expect(shown.length).toBeGreaterThan(20);
    const others = shown.filter((panel) =>
      [panel, ...(panel.targets ?? [])].some((one) => one.datasource?.uid !== `\${datasource}`),
    );
    expect(others.map(({ title }) => title)).toEqual([]);
    expect(shown.filter(({ targets = [] }) => targets.length === 0).map(({ title }) => title)).toEqual([]);
  });

  test("asks for nothing but what /metrics tells", () => {
    const asked = [
      ...queries().map(({ title, expr }) => ({ title, expr })),
      ...variables().flatMap(({ name, query }) =>
        typeof query === "string" ? [] : [{ title: name, expr: query.query }],
      ),
    ];
    const unknown = asked.flatMap(({ title, expr }) =>
      metricsIn(expr)
        .filter((metric) => !told.has(metric))
        .map((metric) => `${title}: ${metric}`),
    );
    expect(unknown).toEqual([]);
    expect(queries().filter(({ expr }) => metricsIn(expr).length === 0)).toEqual([]);
  });

  test("shows every metric of a node or the cluster that is told", () => {
    const asked = new Set(queries().flatMap(({ expr }) => metricsIn(expr)));
    const left = [...told.keys()].filter((name) => name.startsWith("fairlead_") && !/_(count|sum)$/.test(name));
    // A histogram is told as its buckets, and its family by itself is no sample.
    const unshown = left.filter((name) => !asked.has(name) && !asked.has(`${name}_bucket`));
    expect(unshown).toEqual([]);
  });

  test("groups and filters by labels that the metrics have, beside those of a scrape", () => {
    const ofScrape = ["job", "instance", "le"];
    const wrong = queries().flatMap(({ title, expr }) => {
      const has = new Set([...ofScrape, ...metricsIn(expr).flatMap((metric) => [...(told.get(metric) ?? [])])]);
      const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, names = ""]) => names.split(/, */));
      const filtered = [...expr.matchAll(/(\w+)=~?"/g)].map(([, name = ""]) => name);
      return [...grouped, ...filtered].filter((label) => !has.has(label)).map((label) => `${title}: ${label}`);
    });
    expect(wrong).toEqual([]);
  });

  test("names only variables that it has", () => {
    const known = [...variables().map(({ name }) => name), "__rate_interval"];
    const named = JSON.stringify(dashboard).matchAll(/\$\{?(\w+)/g);
    expect([...named].map(([, name = ""]) => name).filter((name) => !known.includes(name) && name !== "__all")).toEqual(
      [],
    );
  });

  test("has brackets that close", () => {
    const open = queries().filter(
      ({ expr }) =>
        !["()", "{}", "[]"].every(([left, right]) => expr.split(left ?? "").length === expr.split(right ?? "").length),
    );
    expect(open.map(({ title }) => title)).toEqual([]);
  });
});

function cellsOf({ x, y, w, h }: Place): string[] {
  return Array.from({ length: w * h }, (_, at) => `${x + (at % w)} ${y + Math.floor(at / w)}`);
}
