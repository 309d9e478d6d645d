import type { Job, RunList } from "../client.ts";
import { defineCommand } from "./command.ts";
import { exitCodeOf } from "./exit-code.ts";
import { noteOf, tookMs, whatOf } from "./job-words.ts";
import { printJson } from "./print-json.ts";
import { shownBytes, shownDuration } from "./shown.ts";
import { pairs, table } from "./table.ts";
import type { Terminal } from "./terminal.ts";

type Facts = NonNullable<Job["tasks"][number]["run"]>;

const jsonCharsMax = 1_000;

export const job = defineCommand({
  name: "job",
  summary: "show a job: status, tasks, result, why it waits",
  usage: "<id> [--wait] [--runs]",
  examples: [
    { line: "fairlead job 0199…", does: "everything about one job" },
    { line: "fairlead job 0199… --wait --json | jq .result", does: "its result, once it has ended" },
  ],
  words: { min: 1, max: 1 },
  flags: {
    wait: { short: "w", help: "until it has ended; exits with its code" },
    runs: { help: "every execution of its tasks, the lost ones too" },
  },
  notes: [],
  where: "service",
  async run({ words: [id = ""], flags, client, terminal, json }) {
    if (flags.runs === true) {
      const { runs } = await client.runs(id);
      return json ? printJson(terminal, { runs }) : print(terminal, runsTable(runs, terminal));
    }
    const shown = flags.wait === true ? await client.wait(id) : await client.job(id);
    await (json ? printJson(terminal, shown) : print(terminal, describe(shown, terminal)));
    return flags.wait === true ? exitCodeOf(shown) : 0;
  },
});

function describe(shown: Job, terminal: Terminal): string {
  const took = tookMs(shown);
  const { payload, webhook, error } = shown;
  return pairs(terminal, [
    ["id", shown.id],
    ["status", shown.status],
    ["waiting", shown.waiting === undefined ? null : noteOf(shown)],
    ["error", error === null ? null : `${error.code}: ${error.message}`],
    ["runs", `${whatOf(shown)} (${shown.runner}, by ${shown.surface})`],
    ["client", shown.client],
    ["tags", shown.tags.join(", ")],
    ["priority", String(shown.priority)],
    ["attempts", `${shown.attempts} of ${shown.max_attempts}`],
    ["created", shown.created_at],
    ["started", shown.started_at],
    ["finished", shown.finished_at],
    ["took", took === null ? null : shownDuration(took)],
    ["files", payload === null ? null : `${payload.files}, ${shownBytes(payload.bytes)}`],
    ["webhook", webhook === null ? null : `${webhook.url} (${webhook.state})`],
    ["input", jsonLine(shown.input)],
    ["result", shown.result === null ? null : jsonLine(shown.result)],
    ...shown.tasks.map((task) => [`task ${task.index}`, taskLine(task)] as const),
  ]);
}

async function print(terminal: Terminal, text: string): Promise<number> {
  await terminal.out(text);
  return 0;
}

function taskLine({ target, runner, status, error, output, run }: Job["tasks"][number]): string {
  const facts = run === null ? [] : factsOf(run);
  const end = error === null ? (output === null ? [] : [jsonLine(output)]) : [error.message];
  return [target || runner, status, ...facts, ...end].join("  ");
}

function factsOf({ node, sandbox, wall_ms, cpu_ms, max_rss_mb, exit_code, signal }: Facts): string[] {
  return [
    `on ${node}`,
    ...(wall_ms === undefined ? [] : [shownDuration(wall_ms)]),
    ...(cpu_ms == null ? [] : [`${shownDuration(cpu_ms)} CPU`]),
    ...(max_rss_mb == null ? [] : [`${Math.round(max_rss_mb)} MiB`]),
    ...(exit_code == null ? [] : [`exit ${exit_code}`]),
    ...(signal == null ? [] : [signal]),
    ...(sandbox === undefined ? [] : [`[${sandbox}]`]),
  ];
}

function runsTable(runs: RunList["runs"], terminal: Terminal): string {
  const head = ["TASK", "TURN", "ATTEMPT", "NODE", "STARTED", "TOOK", "OUTCOME", "ERROR"];
  const rows = runs.map((run) => [
    String(run.task),
    String(run.turn),
    String(run.attempt),
    run.node,
    run.started_at ?? "",
    run.wall_ms === undefined ? "" : shownDuration(run.wall_ms),
    run.outcome ?? "running",
    run.error?.message ?? "",
  ]);
  return table(terminal, head, rows);
}

/** JSON on one line, cut where it is long. */
function jsonLine(value: unknown): string {
  const text = JSON.stringify(value) ?? "null";
  return text.length > jsonCharsMax ? `${text.slice(0, jsonCharsMax)}… (--json shows all of it)` : text;
}
