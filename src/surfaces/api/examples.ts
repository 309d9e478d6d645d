/** Bodies that tests send to the service as they stand. */
export const submitExamples = {
  function: { summary: "A function", value: { function: "hello", input: { name: "Ada" } } },
  script: {
    summary: "A script, with limits",
    value: {
      script: 'echo "::progress 50% half way"\nexpr 6 \\* 7 > answer.txt\n',
      limits: { cpu_s: 10, memory_mb: 256 },
      timeout: 30,
    },
  },
  held: {
    summary: "On hold until it is released",
    value: { id: "20260806120000-ab12cd34ef56gh78", function: "hello", hold: true },
  },
  later: {
    summary: "In an hour, once, with a webhook",
    value: {
      function: "hello",
      delay: 3600,
      tags: ["nightly"],
      dedup: { key: "report-2026-08", while: "active" },
      concurrency: { key: "reports", max: 2 },
      webhook: { url: "https://example.com/hooks/fairlead", headers: { "X-Team": "data" }, events: ["completed"] },
    },
  },
};

export const batchExamples = {
  two: {
    summary: "Two greetings",
    value: [
      { function: "hello", input: { name: "Ada" } },
      { function: "hello", input: { name: "Grace" } },
    ],
  },
};

const id = "0199f3a2-7c41-7000-8a34-0d5f1c1e7b10";
const run = {
  run_id: "f0f3c1de-2f0e-4c59-9d4e-0c1a3a0f6a11",
  node: "worker-1:8080",
  attempt: 1,
  sandbox: "process",
  wait_ms: 1,
  wall_ms: 2,
  cpu_ms: 1,
  max_rss_mb: 40,
  exit_code: null,
  signal: null,
  limits: null,
};
const times = {
  queued_at: "2026-08-06T12:00:00.001Z",
  started_at: "2026-08-06T12:00:00.002Z",
  finished_at: "2026-08-06T12:00:00.004Z",
};

export const jobExample = {
  id,
  surface: "api",
  runner: "function",
  status: "succeeded",
  priority: 1,
  client: "key:2bb80d53",
  tags: [],
  held: false,
  created_at: "2026-08-06T12:00:00.001Z",
  ...times,
  attempts: 1,
  max_attempts: 1,
  input: { name: "Ada" },
  result: { message: "Hello Ada!" },
  error: null,
  tasks: [
    {
      index: 0,
      runner: "function",
      target: "hello",
      status: "succeeded",
      attempts: 1,
      output: { message: "Hello Ada!" },
      error: null,
      run,
    },
  ],
  payload: null,
  dedup_key: null,
  webhook: null,
  last_event: 4,
  links: { self: `/api/v1/jobs/${id}`, events: `/api/v1/jobs/${id}/events`, files: `/api/v1/jobs/${id}/files` },
};

export const queuedExample = {
  ...jobExample,
  status: "queued",
  started_at: null,
  finished_at: null,
  attempts: 0,
  result: null,
  tasks: [{ ...jobExample.tasks[0], status: "queued", attempts: 0, output: null, run: null }],
  last_event: 1,
  waiting: { position: 12, reason: "no free slot" },
};

export const runsExample = {
  runs: [{ ...run, task: 0, turn: 1, outcome: "succeeded", error: null, ...times }],
};

export const streamExample = `retry: 1000

id: 1
event: status
data: {"seq":1,"at":"2026-08-06T12:00:00.001Z","task":0,"kind":"status","status":"running","attempt":1}

id: 2
event: output
data: {"seq":2,"at":"2026-08-06T12:00:00.002Z","task":0,"kind":"output","stream":"stdout","text":"42\\n"}

id: 3
event: completed
data: {"seq":3,"at":"2026-08-06T12:00:00.004Z","task":0,"kind":"completed","status":"succeeded"}

`;

export const filesExample = {
  files: [
    {
      path: "answer.txt",
      bytes: 3,
      sha256: "084c799cd551dd1d8d5c5f9a5d593b2e931f5e36122ee5c793c1d08a19839cc0",
      media_type: "text/plain; charset=utf-8",
      mode: 420,
      modified_at: "2026-08-06T12:00:00.003Z",
      link: `/api/v1/jobs/${id}/files/answer.txt`,
    },
  ],
  directories: [],
  links: [],
  skipped: [],
  bytes: 3,
  zip: `/api/v1/jobs/${id}/files.zip`,
};

export const deliveryExample = {
  id: "msg_0199f3a27c4170008a340d5f1c1e7b10",
  job_id: id,
  event: "completed",
  url: "https://example.com/hooks/fairlead",
  state: "delivered",
  created_at: "2026-08-06T12:00:00.004Z",
  next_at: null,
  delivered_at: "2026-08-06T12:00:00.090Z",
  attempts: [{ at: "2026-08-06T12:00:00.010Z", status: 200, duration_ms: 80, response: "ok", error: null }],
};

export const queueExample = {
  name: "function",
  paused: false,
  paused_by: null,
  paused_at: null,
  backlog: 12,
  delayed: 3,
  parked: 0,
  is_capped: false,
  running: 10,
  oldest_waiting_at: "2026-08-06T12:00:00.001Z",
  oldest_waiting_s: 1.25,
  last_claim_at: "2026-08-06T12:00:01.000Z",
  slots: { used: 10, limit: 10 },
};

export const nodeExample = {
  id: "worker-1:8080",
  version: "0.1.0",
  region: "",
  state: "ready",
  complaint: null,
  slots: { function: { used: 10, limit: 10 } },
  capabilities: { tags: [] },
  running: 10,
  started_at: "2026-08-06T11:00:00.000Z",
  renewed_at: "2026-08-06T12:00:00.000Z",
  last_claim_at: "2026-08-06T12:00:01.000Z",
};
