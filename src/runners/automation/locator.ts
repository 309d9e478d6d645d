import type { FrameLocator, Locator, Page } from "playwright-core";
import type { LocatorChain, LocatorStep, LocatorValue } from "./locator-parse.ts";

type Place = { page: Page; on: Page | Locator | FrameLocator };

/** Builds the playwright-core locator of a parsed command. Nothing is looked up in the page yet. */
export function buildLocator(page: Page, chain: LocatorChain): Locator {
  let on: Place["on"] = page;
  for (const step of chain.steps) on = apply({ page, on }, step);
  return on as Locator;
}

/**
 * The parser admits only methods of Playwright's own list, on a footing that has them and with checked arguments; the
 * casts say to the compiler what the parser has made sure of.
 */
function apply({ page, on }: Place, step: LocatorStep): Locator | FrameLocator {
  const [value] = step.values;
  const options = jsOptions(page, step.options);
  const finder = on as Page;
  const locator = on as Locator;
  switch (step.name) {
    case "get_by_role":
      return finder.getByRole(value as Parameters<Page["getByRole"]>[0], options);
    case "get_by_text":
      return finder.getByText(value as string, options);
    case "get_by_label":
      return finder.getByLabel(value as string, options);
    case "get_by_placeholder":
      return finder.getByPlaceholder(value as string, options);
    case "get_by_alt_text":
      return finder.getByAltText(value as string, options);
    case "get_by_title":
      return finder.getByTitle(value as string, options);
    case "get_by_test_id":
      return finder.getByTestId(value as string);
    case "locator":
      return finder.locator(value as string, options);
    case "frame_locator":
      return finder.frameLocator(value as string);
    case "filter":
      return locator.filter(options);
    case "nth":
      return locator.nth(value as number);
    case "and_":
      return locator.and(buildLocator(page, value as LocatorChain));
    case "or_":
      return locator.or(buildLocator(page, value as LocatorChain));
    case "first":
      return locator.first();
    case "last":
      return locator.last();
    case "content_frame":
      return locator.contentFrame();
    default:
      throw new Error(`The locator method ${step.name} is parsed but not built`);
  }
}

function jsOptions(page: Page, options: LocatorStep["options"]): Record<string, never> {
  const built = Object.entries(options).map(([name, value]) => [
    name,
    isChain(value) ? buildLocator(page, value) : value,
  ]);
  return Object.fromEntries(built) as Record<string, never>;
}

function isChain(value: LocatorValue): value is LocatorChain {
  return typeof value === "object" && value !== null && !(value instanceof RegExp);
}
