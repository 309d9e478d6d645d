import { createClient } from "../client.ts";
import type { CliConfig } from "../config.ts";
import type { Call } from "./command.ts";
import type { Parsed } from "./parse.ts";
import { readKeyFile } from "./key-file.ts";
import type { Terminal } from "./terminal.ts";
import type { CliTools } from "./tools.ts";
import { UsageError } from "./usage-error.ts";

type Surroundings = { config: CliConfig; terminal: Terminal; tools: CliTools };

/** What a command is given. Flags win over the environment. */
export async function callOf({ words, flags }: Parsed, { config, terminal, tools }: Surroundings): Promise<Call> {
  const url = typeof flags.url === "string" ? flags.url : config.url;
  const keyFile = flags["key-file"];
  const key = typeof keyFile === "string" ? await readKeyFile(keyFile) : config.key || config.authKeys[0];
  return {
    words,
    flags,
    json: flags.json === true,
    url,
    webhookSecrets: config.webhookSecrets,
    client: clientOf(url, key),
    terminal,
    tools,
  };
}

function clientOf(url: string, key: string | undefined) {
  try {
    return createClient({ url, ...(key === undefined ? {} : { key }) });
  } catch (fault) {
    if (fault instanceof TypeError) throw new UsageError(fault.message);
    throw fault;
  }
}
