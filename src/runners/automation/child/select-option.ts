import type { Locator } from "playwright-core";
import type { ElementAction } from "../document-model.ts";
import type { Session } from "./session.ts";

type Option = { value: string; label: string };

const shownMax = 20;
const optionsMax = 10_000;

/** Chooses options by value or label: exactly when that is possible, else the one option that is meant by a looser reading. */
export async function selectOption(
  session: Session,
  action: Extract<ElementAction, { name: "select_option" }>,
  locator: Locator,
): Promise<void> {
  const timeout = action.tries.perTryS * 1_000;
  const options = await locator.evaluate(readOptions, optionsMax, { timeout });
  const values = action.values.map((wanted) => bestOption(options, session.scope.fill(wanted)).value);
  await locator.selectOption(
    values.map((value) => ({ value })),
    { timeout },
  );
}

/** Runs in the page; refuses what is no list of options. */
function readOptions(element: unknown, max: number): Option[] {
  const { options } = element as { options?: ArrayLike<Option> };
  if (options === undefined) throw new Error("the element is no <select>");
  return Array.from(options)
    .slice(0, max)
    .map(({ value, label }) => ({ value, label: label.trim() }));
}

function bestOption(options: Option[], wanted: string): Option {
  const plain = wanted.trim().toLowerCase();
  const exact =
    options.find((option) => option.value === wanted) ?? options.find((option) => option.label === wanted.trim());
  if (exact !== undefined) return exact;
  const readings: ((option: Option) => boolean)[] = [
    ({ value, label }) => value.toLowerCase() === plain || label.toLowerCase() === plain,
    ({ label }) => plain !== "" && label.toLowerCase().startsWith(plain),
    ({ label }) => plain !== "" && label.toLowerCase().includes(plain),
  ];
  for (const reading of readings) {
    const [only, ...others] = options.filter(reading);
    if (only !== undefined && others.length === 0) return only;
  }
  const labels = options.slice(0, shownMax).map(({ label }) => JSON.stringify(label));
  throw new Error(`there is no option ${JSON.stringify(wanted)}; there are ${labels.join(", ") || "none"}`);
}
