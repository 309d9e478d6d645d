import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import type { BunPlugin } from "bun";
import { childPrograms, programsFolder } from "../src/carried.ts";
import { assetFile, assetsFolder, assetTypes } from "../src/http/docs.ts";

/**
 * Makes the single executable: `bun scripts/build.ts [--outfile dist/fairlead] [--target bun-linux-arm64]`. It holds the program, the
 * programs of its child processes, the migrations and the files of /docs; Postgres and Chromium it does not hold.
 */
const repository = resolve(import.meta.dir, "..");

/**
 * Playwright reads two of its files by their place in its package: in one file they are part of it. What it finds in the same way and we
 * do not need, such as its trace viewer, is then nowhere, and not by chance on the machine of the build.
 */
const playwrightInOneFile: BunPlugin = {
  name: "playwright in one file",
  setup(build) {
    build.onLoad({ filter: /playwright-core\/lib\/coreBundle\.js$/ }, async ({ path }) => {
      const text = await Bun.file(path).text();
      const inlined = text.replaceAll(
        /require\(\w+\.default\.join\(packageRoot, "([\w.]+\.json)"\)\)/g,
        'require("../$1")',
      );
      return { contents: inlined.replaceAll(/\b__(?:dirname|filename)\b/g, '"/not-carried/lib"'), loader: "js" };
    });
  },
};

const { values } = parseArgs({
  options: { outfile: { type: "string", default: "dist/fairlead" }, target: { type: "string" } },
});
const outfile = resolve(repository, values.outfile);

// What is embedded keeps the last part of its path.
const staging = await mkdtemp(join(tmpdir(), "fairlead-build-"));
try {
  await copyAssets();
  await bundlePrograms();
  await compile();
} finally {
  await rm(staging, { recursive: true });
}
console.log(`${outfile}  ${(Bun.file(outfile).size / 1_000_000).toFixed(0)} MB`);

async function copyAssets(): Promise<void> {
  await mkdir(join(staging, assetsFolder));
  for (const name of Object.keys(assetTypes)) await cp(assetFile(name), join(staging, assetsFolder, name));
}

/** Each in one file: a Bun that is started by the executable reads it from the disk. */
async function bundlePrograms(): Promise<void> {
  await Bun.build({
    entrypoints: Object.values(childPrograms).map((path) => join(repository, path)),
    root: repository,
    outdir: join(staging, programsFolder),
    target: "bun",
    minify: { whitespace: true, syntax: true },
    plugins: [playwrightInOneFile],
  });
}

async function compile(): Promise<void> {
  await Bun.build({
    entrypoints: [join(repository, "src/main.ts")],
    target: "bun",
    // Commands load what they need: without parts, `--version` would read the whole service.
    splitting: true,
    sourcemap: "none",
    // An optional package, taken by `pg` at Cloudflare alone.
    external: ["pg-cloudflare"],
    compile: {
      outfile,
      assets: [join(repository, "drizzle"), join(staging, programsFolder), join(staging, assetsFolder)],
      // A .env is read as `bun src/main.ts` reads it; a bunfig.toml of the working directory belongs to somebody else.
      autoloadBunfig: false,
      // Or it would not find the package of Postgres next to it.
      autoloadPackageJson: true,
      ...(values.target === undefined ? {} : { target: values.target as Bun.Build.CompileTarget }),
    },
  });
}
