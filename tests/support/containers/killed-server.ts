import { removeTree } from "../../../src/files/remove.ts";
import { silentLog } from "../../../src/log.ts";
import { createContainerRunner } from "../../../src/runners/container/runner.ts";
import { outputOf, runLinkOf } from "./link-run.ts";
import { noSandbox, serverLimits } from "./runner-of.ts";

// A server of its own process, to be killed: starts the image `model` and says so.
const [path = "", dockerHost = "", node = "", scratchDir = ""] = process.argv.slice(2);
const runner = createContainerRunner({
  ...{ path, dockerHost, node, scratchDir, removeTree, sandbox: noSandbox, limits: serverLimits, log: silentLog() },
});
outputOf(await runLinkOf(runner, "model", {}));
console.log("running");
setInterval(() => undefined, 60_000);
