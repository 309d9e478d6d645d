/** What a locator command may hand to a method. `text` is a string or a `re.compile(…)`. */
export type ArgumentType = "string" | "text" | "int" | "bool" | "locator";
export type Parameter = { name: string; type: ArgumentType };
/** What a chain stands on: the page itself, a locator, or a frame. */
export type Footing = "page" | "locator" | "frame";
export type LocatorMethod = {
  on: readonly Footing[];
  gives: Footing;
  /** False for properties such as `.first`. */
  called: boolean;
  parameters: readonly Parameter[];
  /** Keyword arguments, Python name to JavaScript name. */
  options: Readonly<Record<string, { js: string; type: ArgumentType }>>;
};

const anywhere = ["page", "locator", "frame"] as const;
const exact = { exact: { js: "exact", type: "bool" } } as const;
const contents = {
  has_text: { js: "hasText", type: "text" },
  has_not_text: { js: "hasNotText", type: "text" },
  has: { js: "has", type: "locator" },
  has_not: { js: "hasNot", type: "locator" },
} as const;
const roleOptions = {
  checked: { js: "checked", type: "bool" },
  disabled: { js: "disabled", type: "bool" },
  expanded: { js: "expanded", type: "bool" },
  include_hidden: { js: "includeHidden", type: "bool" },
  level: { js: "level", type: "int" },
  name: { js: "name", type: "text" },
  pressed: { js: "pressed", type: "bool" },
  selected: { js: "selected", type: "bool" },
  exact: { js: "exact", type: "bool" },
} as const;

const onLocator: LocatorMethod = { on: ["locator"], gives: "locator", called: false, parameters: [], options: {} };

/** Every method and property of Playwright for Python that a locator command may use. */
export const locatorMethods: Readonly<Record<string, LocatorMethod>> = {
  get_by_role: finder("role", "string", roleOptions),
  get_by_text: finder("text", "text", exact),
  get_by_label: finder("text", "text", exact),
  get_by_placeholder: finder("text", "text", exact),
  get_by_alt_text: finder("text", "text", exact),
  get_by_title: finder("text", "text", exact),
  get_by_test_id: finder("test_id", "text", {}),
  locator: finder("selector", "string", contents),
  frame_locator: { ...finder("selector", "string", {}), gives: "frame" },
  filter: { ...onLocator, called: true, options: { ...contents, visible: { js: "visible", type: "bool" } } },
  and_: { ...onLocator, called: true, parameters: [{ name: "locator", type: "locator" }] },
  or_: { ...onLocator, called: true, parameters: [{ name: "locator", type: "locator" }] },
  nth: { ...onLocator, called: true, parameters: [{ name: "index", type: "int" }] },
  first: onLocator,
  last: onLocator,
  content_frame: { ...onLocator, gives: "frame" },
};

function finder(name: string, type: ArgumentType, options: LocatorMethod["options"]): LocatorMethod {
  return { on: anywhere, gives: "locator", called: true, parameters: [{ name, type }], options };
}
