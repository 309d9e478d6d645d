import type { Config } from "./config.ts";

/** Runs the sample `hello` through the front door, as a newcomer would, and prints what came back and what to try next. */
export async function showDemo(url: string, config: Config): Promise<void> {
  const body = { function: "hello", input: { name: "Ada" }, contract: config.contract };
  const [key] = config.authKeys;
  const response = await fetch(`${url}/task`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(key === undefined ? {} : { authorization: key }) },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  });
  const auth = key === undefined ? "" : " -H 'Authorization: <your key>'";
  const lines = [
    "",
    `  Fairlead listens on ${url}   docs ${url}/docs`,
    "",
    `  $ curl -X POST ${url}/task -H 'content-type: application/json'${auth} -d '${JSON.stringify(body)}'`,
    `  ${await response.text()}`,
    "",
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}
