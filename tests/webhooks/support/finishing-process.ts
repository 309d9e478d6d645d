import { Sender } from "../../../src/webhooks/deliver.ts";
import { parseNetworks } from "../../../src/webhooks/networks.ts";
import type { SocketAddress } from "../../support/cluster.ts";
import { jobOf, openNode } from "../../support/engine.ts";

/**
 * A node that ends jobs with webhooks and hands these over, until it is killed: `bun finishing-process.ts <address> <receiver's URL> <name of
 * the jobs> <how many>`.
 */
const [address = "", url = "", name = "", count = "0"] = process.argv.slice(2);

const node = await openNode(JSON.parse(address) as SocketAddress, { nodeId: "finisher", slots: 4 });
const sender = new Sender({
  sql: node.db.sql,
  log: node.log,
  allow: parseNetworks(["127.0.0.0/8"]),
  timeoutMs: 500,
  claimMarginS: 0,
  retries: { retriesMax: 20, delayMs: 20 },
  secrets: [],
  headers: {},
  sealKeys: [],
});
node.engine.onDelivery = () => sender.wake();
sender.wake();
const webhook = { url, events: ["completed"], kind: "test" };
const jobs = Array.from({ length: Number(count) }, (_, at) => jobOf({ id: `${name}-${at}`, webhook, input: { at } }));
await Promise.all(jobs.map((job) => node.submitter.submit(job)));
