import { type Static, Type } from "@sinclair/typebox";
import { t } from "elysia";
import { idPattern } from "./wire.ts";

const daySeconds = 86_400;
const yearSeconds = 365 * daySeconds;
export const scriptCharsMax = 1_048_576;
export const batchMax = 1_000;
export const webhookEvents = ["started", "output", "completed"] as const;
/** As Andera has it, so that every surface can be told in the same numbers. */
const priorityBound = 2_097_152;

const name = (description: string) => Type.String({ minLength: 1, maxLength: 200, description });
const key = (description: string) => Type.String({ minLength: 1, maxLength: 200, description });
const closed = { additionalProperties: false } as const;

/** An object with any members. */
export const inputModel = Type.Object({}, { additionalProperties: true, description: "What the work is given" });

export const limitsModel = Type.Object(
  {
    cpu_s: Type.Optional(Type.Integer({ minimum: 1, maximum: 30 * daySeconds, description: "CPU seconds" })),
    memory_mb: Type.Optional(Type.Integer({ minimum: 1, maximum: 4_194_304, description: "MiB of memory" })),
    processes: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000, description: "Processes at once" })),
    file_mb: Type.Optional(Type.Integer({ minimum: 1, maximum: 16_777_216, description: "MiB one file may have" })),
    output_mb: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_240, description: "MiB of output that is kept" })),
    network: Type.Optional(Type.Boolean({ description: "Whether a script may use the network" })),
  },
  { ...closed, description: "What a run may use. More than the server's maximum is refused" },
);

const dedupModel = Type.Object(
  {
    key: key("Jobs with this key are the same work"),
    while: Type.Union([t.UnionEnum(["active"]), Type.Integer({ minimum: 1, maximum: yearSeconds })], {
      description: '"active" until the holder has ended, or for so many seconds from its submit',
    }),
  },
  { ...closed, description: "While a job holds the key, it is returned instead of a new one" },
);

const concurrencyModel = Type.Object(
  {
    key: key("Jobs with this key share the places"),
    max: Type.Integer({ minimum: 1, maximum: 10_000, description: "Running at once, over all nodes" }),
  },
  closed,
);

const requiresModel = Type.Object(
  {
    region: Type.Optional(Type.String({ minLength: 1, maxLength: 100, description: "The node's REGION" })),
    tags: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 100 }), {
        minItems: 1,
        maxItems: 20,
        uniqueItems: true,
        description: "All of these are among the node's NODE_TAGS",
      }),
    ),
  },
  { ...closed, description: "What the node must be that runs it" },
);

const webhookModel = Type.Object(
  {
    url: Type.String({ minLength: 1, maxLength: 2_048, description: "http or https, on a public address" }),
    headers: Type.Optional(
      Type.Object(
        {},
        { additionalProperties: true, description: "Header names to texts, kept encrypted, shown to nobody" },
      ),
    ),
    events: Type.Optional(Type.Array(t.UnionEnum([...webhookEvents]), { minItems: 1, maxItems: 3, uniqueItems: true })),
  },
  { ...closed, description: "Who is told; `completed` unless `events` says otherwise" },
);

/** What `POST /api/v1/jobs` takes. Exactly one of `function`, `script`, `containers`, `automation` says what runs. */
export const submitModel = Type.Object(
  {
    id: Type.Optional(Type.String({ pattern: idPattern, description: "1 to 128 of A-Z a-z 0-9 . _ : -" })),
    function: Type.Optional(name("Name of a function")),
    script: Type.Optional(
      Type.String({ minLength: 1, maxLength: scriptCharsMax, description: "Text of run.sh; or send it as a file" }),
    ),
    containers: Type.Optional(
      Type.Array(name("Id of a container"), {
        minItems: 1,
        maxItems: 100,
        description: "A chain: each gets the output of the one before",
      }),
    ),
    automation: Type.Optional(name("Name of a browser automation")),
    input: Type.Optional(inputModel),
    priority: Type.Optional(
      Type.Integer({ minimum: -priorityBound, maximum: priorityBound, description: "Lower runs first; 1 unless said" }),
    ),
    delay: Type.Optional(Type.Number({ minimum: 0, maximum: yearSeconds, description: "Seconds before it may run" })),
    run_at: Type.Optional(
      Type.String({ format: "date-time", description: "RFC 3339 time before which it does not run" }),
    ),
    hold: Type.Optional(Type.Boolean({ description: "Written, and not queued before it is released" })),
    timeout: Type.Optional(
      Type.Number({ minimum: 0.001, maximum: 30 * daySeconds, description: "Seconds a run may take" }),
    ),
    deadline: Type.Optional(
      Type.Number({
        minimum: 0.001,
        maximum: 30 * daySeconds,
        description: "Seconds that the links of a chain may take together, from when the first may run",
      }),
    ),
    max_attempts: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
    backoff: Type.Optional(
      Type.Integer({ minimum: 0, maximum: daySeconds, description: "Seconds before the second attempt, then doubled" }),
    ),
    limits: Type.Optional(limitsModel),
    dedup: Type.Optional(dedupModel),
    concurrency: Type.Optional(concurrencyModel),
    requires: Type.Optional(requiresModel),
    tags: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 100 }), { maxItems: 20 })),
    webhook: Type.Optional(webhookModel),
  },
  closed,
);
export type Submit = Static<typeof submitModel>;

export const batchModel = Type.Array(Type.Unknown(), { minItems: 1, maxItems: batchMax });

export const retryModel = Type.Object(
  {
    input: Type.Optional(Type.Unknown({ description: "Instead of what the task was given" })),
    from_task: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 32_767, description: "Start a chain here; earlier outputs stay" }),
    ),
  },
  closed,
);
export type Retry = Static<typeof retryModel>;

export const tokenTtlMaxS = 7 * daySeconds;
export const tokenTtlUsualS = 3_600;
export const tokenRequestModel = Type.Object(
  { ttl: Type.Optional(Type.Integer({ minimum: 1, maximum: tokenTtlMaxS, description: "Seconds; 3600 unless said" })) },
  closed,
);
export type TokenRequest = Static<typeof tokenRequestModel>;
