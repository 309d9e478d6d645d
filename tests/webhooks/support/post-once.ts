/** Posts once to the URL given, then fetches it plainly, and prints what came of both. */
import { parseNetworks } from "../../../src/webhooks/networks.ts";
import { post } from "../../../src/webhooks/post.ts";

const [url = "", proxies = "{}"] = process.argv.slice(2);
Object.assign(process.env, JSON.parse(proxies));
const outcome = await post({ url, headers: {}, body: "{}", timeoutMs: 5_000, allow: parseNetworks(["127.0.0.1"]) });
const viaFetch = (await fetch(url)).ok;
console.log(JSON.stringify({ outcome, viaFetch }));
process.exit(0);
