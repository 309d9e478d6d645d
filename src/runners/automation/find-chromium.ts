import { accessSync, constants } from "node:fs";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge"];
const applications = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/** The browser for automations, or why there is none, with the fix. */
export type ChromiumFound = { path: string } | { problem: string };

/** Looks for Chromium: at `chromiumPath` (CHROMIUM_PATH) when that is set, else on `searchPath` (PATH) and where macOS keeps it. */
export function findChromium(chromiumPath: string, searchPath: string): ChromiumFound {
  if (chromiumPath !== "") {
    return isExecutable(chromiumPath)
      ? { path: chromiumPath }
      : { problem: `CHROMIUM_PATH is ${chromiumPath}, which is no program: set it to Chromium or Chrome` };
  }
  for (const name of names) {
    const path = Bun.which(name, { PATH: searchPath });
    if (path !== null) return { path };
  }
  const application = applications.find(isExecutable);
  if (application !== undefined) return { path: application };
  return { problem: "Chromium was not found: install it (apt install chromium) or set CHROMIUM_PATH" };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // Missing and not executable are the same to whoever wants to start it.
    return false;
  }
}
