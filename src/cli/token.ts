import { type Call, defineCommand } from "./command.ts";
import { seconds } from "./numbers.ts";
import { printJson } from "./print-json.ts";
import { UsageError } from "./usage-error.ts";

const flags = {
  ttl: { value: "TIME", help: "how long it is good for, such as 15m; an hour unless said" },
  "issuer-dev": { help: "a token for /api/v1/submit, by the issuer of this machine" },
  sub: { value: "SUB", help: "with --issuer-dev: whose token it is" },
} as const;

const ttlUsualS = 3_600;
const ttlMaxS = 7 * 86_400;

export const token = defineCommand({
  name: "token",
  summary: "make a token for one job, or to try /api/v1/submit",
  usage: "<job-id> | --issuer-dev --sub SUB",
  examples: [
    { line: "fairlead token 0199…", does: "reads this one job: for EventSource and links, as ?token=" },
    {
      line: `curl -H "Authorization: Bearer $(fairlead token --issuer-dev --sub me)" …/api/v1/submit`,
      does: "a JWT that a service on this machine takes, with the same DATA_DIR and no AUTH_KEY",
    },
  ],
  words: { min: 0, max: 1 },
  flags,
  notes: ["Only the token goes to stdout."],
  where: "service",
  async run(call) {
    const ttlS = seconds("--ttl", call.flags.ttl) ?? ttlUsualS;
    if (!Number.isInteger(ttlS) || ttlS < 1 || ttlS > ttlMaxS) throw new UsageError("--ttl must be from 1s to 7d");
    return call.flags["issuer-dev"] === true ? devToken(call, ttlS) : jobToken(call, ttlS);
  },
});

async function jobToken({ words: [id], flags: given, client, terminal, json }: Call<typeof flags>, ttlS: number) {
  if (id === undefined) throw new UsageError("say which job: fairlead token <job-id>");
  if (given.sub !== undefined) throw new UsageError("--sub goes with --issuer-dev");
  const made = await client.token(id, { ttlS });
  if (json) return printJson(terminal, made);
  await terminal.out(`${made.token}\n`);
  terminal.say(`Reads job ${id} until ${made.expires_at}.`);
  return 0;
}

async function devToken({ words, flags: { sub }, tools, terminal, json }: Call<typeof flags>, lifetimeS: number) {
  if (words.length > 0) throw new UsageError("--issuer-dev takes no job: the token is for /api/v1/submit");
  if (sub === undefined || sub === "") throw new UsageError("say whose token it is: --sub SUB");
  const made = await tools.devToken({ sub, lifetimeS });
  if (json) return printJson(terminal, { token: made, sub });
  await terminal.out(`${made}\n`);
  return 0;
}
