type Work = () => Promise<void>;

const works: Work[] = [];

/** Has `work` done once the test file, with its own `afterAll`, has ended. For support files that keep something open. */
export function whenFileEnds(work: Work): void {
  works.push(work);
}

/** Called by the preload alone. */
export async function endFile(): Promise<void> {
  for (const work of works.splice(0).reverse()) await work();
}
