import { defineCommand } from "./command.ts";
import { listenForWebhooks } from "./webhook-receiver.ts";
import { readTextFile } from "./read-file.ts";
import { wholeNumber } from "./numbers.ts";
import { UsageError } from "./usage-error.ts";
import { parseWebhookSecrets } from "./webhook-signature.ts";

const portUsual = 4000;
const secretBytesMax = 65_536;

export const webhook = defineCommand({
  name: "webhook",
  summary: "receive webhooks here, check their signatures, show them",
  usage: "listen [--port N] [--secret-file FILE]",
  examples: [
    { line: "fairlead webhook listen --secret-file webhook.secret", does: "waits at http://127.0.0.1:4000/" },
    { line: "fairlead submit hello --webhook http://127.0.0.1:4000/", does: "sends one there, in another terminal" },
  ],
  words: { min: 1, max: 1 },
  flags: {
    port: { value: "N", help: `port of this machine, ${portUsual} unless said; 0 for a free one` },
    "secret-file": { value: "FILE", help: "file with the whsec_… keys, one a line (else WEBHOOK_SECRET)" },
    json: { help: "each delivery as a line of JSON on stdout" },
  },
  notes: [
    "The service calls this machine only when WEBHOOK_ALLOW names it: WEBHOOK_ALLOW=127.0.0.1/32 fairlead serve.",
    "A delivery with a wrong or missing signature, or one older than five minutes, is answered with 401, so that the service tries again. Without keys nothing is checked, which is said.",
  ],
  where: "machine",
  async run({ words: [verb = ""], flags, json, terminal, tools, webhookSecrets }) {
    if (verb !== "listen") throw new UsageError(`write: fairlead webhook listen, not "${verb}"`);
    const port = wholeNumber("--port", flags.port, { min: 0, max: 65_535 }) ?? portUsual;
    const file = flags["secret-file"];
    const texts = file === undefined ? webhookSecrets : await secretsIn(file);
    const keys = parseWebhookSecrets(texts);
    const receiver = listenForWebhooks({ port, keys, terminal, json });
    terminal.say(
      `Listening on ${receiver.url} (${keys.length === 0 ? "no keys: signatures are NOT checked" : "signatures are checked"})`,
    );
    await new Promise<void>((resolve) => tools.onInterrupt(resolve));
    await receiver.stop();
    return 0;
  },
});

async function secretsIn(path: string): Promise<string[]> {
  const text = await readTextFile(path, { bytesMax: secretBytesMax, what: "the file of keys" });
  const found = text.split(/[\s,]+/).filter((line) => line !== "");
  if (found.length === 0) throw new UsageError(`${path} holds no key`);
  return found;
}
