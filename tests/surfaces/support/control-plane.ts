import { until } from "../../support/until.ts";

export type Report = {
  endpoint: string;
  key: string | null;
  taskId: string;
  json: Record<string, unknown>;
  form: FormData | null;
};
type Answer = (request: Request) => Response | Promise<Response>;

const endpoints = [
  "start_task",
  "complete_task",
  "save_output_data",
  "save_downloads",
  "save_trajectory",
  "initiate_callback",
];

/** A control plane that makes tasks as it is told and keeps what it is told of them. */
export class StubControlPlane implements AsyncDisposable {
  readonly reports: Report[] = [];
  readonly asked: { key: string | null; body: Record<string, unknown> }[] = [];
  /** What `/api/v1/inference` answers. */
  inference: (body: Record<string, unknown>) => Response | Promise<Response> = () =>
    new Response("unset", { status: 500 });
  /** Instead of taking reports. */
  refuseReports: Answer | null = null;
  /** Refuses a report when it gives an answer. */
  sometimes: () => Response | null = () => null;
  other: Answer = () => new Response("nothing here", { status: 404 });
  readonly #server: Bun.Server<undefined>;

  constructor() {
    this.#server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => this.#answer(request) });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  of(taskId: string): Report[] {
    return this.reports.filter((report) => report.taskId === taskId);
  }

  endpointsOf(taskId: string): string[] {
    return this.of(taskId).map(({ endpoint }) => endpoint);
  }

  /** The reports of a task, once this one is there. */
  async reported(taskId: string, endpoint: string, withinMs = 30_000): Promise<Report> {
    return until(
      `${endpoint} of ${taskId} is reported`,
      () => this.of(taskId).find((report) => report.endpoint === endpoint),
      { withinMs },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }

  async #answer(request: Request): Promise<Response> {
    const endpoint = new URL(request.url).pathname.replace("/api/v1/", "");
    const key = request.headers.get("x-api-key");
    if (endpoint === "inference") {
      const body = (await request.json()) as Record<string, unknown>;
      this.asked.push({ key, body });
      return this.inference(body);
    }
    if (!endpoints.includes(endpoint)) return this.other(request);
    if (this.refuseReports !== null) return this.refuseReports(request);
    const refused = this.sometimes();
    if (refused !== null) return refused;
    const isForm = request.headers.get("content-type")?.startsWith("multipart/") === true;
    const form = isForm ? ((await request.formData()) as FormData) : null;
    const json = form === null ? ((await request.json()) as Record<string, unknown>) : {};
    this.reports.push({ endpoint, key, taskId: String(form?.get("task_id") ?? json.task_id), json, form });
    return Response.json({ success: true });
  }
}
