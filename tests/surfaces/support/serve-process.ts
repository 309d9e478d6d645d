import { startApp } from "../../../src/app.ts";
import { loadConfig } from "../../../src/config.ts";
import { silentLog } from "../../../src/log.ts";

/** The service as a process of its own, for tests that kill it: settings as JSON in the first argument; prints its address. */
const app = await startApp({
  config: loadConfig(JSON.parse(process.argv[2] ?? "{}")),
  log: silentLog(),
  environment: { PATH: "/usr/local/bin:/usr/bin:/bin" },
});
process.stdout.write(`${app.url}\n`);
