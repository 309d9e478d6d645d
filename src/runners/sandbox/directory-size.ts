/** What a directory takes up. */
export type DirectorySize = { bytes: number; entries: number };

const script = `du -s --block-size=1 -- "$1"; du -s --inodes -- "$1"`;

/**
 * Measures with `du` in a process of its own: a hostile tree of a million entries or three hundred levels neither fills
 * this process's memory nor blocks it, and no link is followed. Parts that cannot be read count as nothing.
 */
export async function directorySize(directory: string): Promise<DirectorySize> {
  const child = Bun.spawn(["nice", "-n", "10", "sh", "-c", script, "sh", directory], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C" },
  });
  const [bytes = 0, entries = 0] = (await new Response(child.stdout).text())
    .split("\n")
    .map((line) => Number.parseInt(line, 10) || 0);
  return { bytes, entries };
}
