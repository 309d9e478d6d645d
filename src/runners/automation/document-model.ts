export type Scalar = string | number | boolean;
/** Lists of values by name, as in `{ "email": ["alice@example.com"] }`. */
export type ParameterLists = Record<string, Scalar[]>;
/** Where a secret comes from. Only `totp` can be computed here; the others name a vault that Fairlead does not reach. */
export type SecureParameter =
  { kind: "totp"; secret: string; digits: number } | { kind: "vault"; vault: "onepassword" | "amazon_secrets_manager" };

/** The control plane's automation document after validation: defaults filled in, old forms converted. */
export type AutomationDocument = {
  url: string;
  parameters: {
    input: ParameterLists;
    secure: Record<string, SecureParameter[]>;
    generated: Record<string, (Scalar | null)[]>;
  };
  nodes: AutomationNode[];
  postProcessingNodes: AutomationNode[];
  maxRetries: number;
  expectedDownloads: number;
  takeFinalScreenshot: boolean;
  browserChannel: string;
};

/** Tells about a locator command as it is met, with the field it stands in. */
export type CheckCommand = (field: string, command: string) => void;

/** Nodes are numbered from 1 in the order of the document, depth first, bodies after their loop or choice. */
export type AutomationNode = ActionNode | LoopNode | ChoiceNode | AssertNode | PrivateNode;
export type ActionNode = {
  type: "action_node";
  number: number;
  action: Action;
  beforeSleepS: number;
  endSleepS: number;
  expectNewTab: boolean;
};
export type LoopNode = {
  type: "for_loop_node";
  number: number;
  over: { variables: [string, ...string[]] } | { locator: string; timeoutS: number };
  indexName: string;
  iterationsMax: number | null;
  onError: "raise" | "continue" | "break";
  nodes: AutomationNode[];
  resetNodes: AutomationNode[];
};
export type ChoiceNode = {
  type: "if_else_node";
  number: number;
  condition: string;
  ifNodes: AutomationNode[];
  elseNodes: AutomationNode[];
};
export type AssertNode = {
  type: "assert_locator_node";
  number: number;
  locator: string;
  assertion: "to_be_visible" | "to_be_hidden";
  outputName: string;
  timeoutS: number;
};
export type PrivateNode = { type: "private_node"; number: number; handler: string };

/** How an element is found. `prompt` would be for a language model. */
export type Target = {
  command: string | null;
  xpath: string | null;
  prompt: string | null;
  skipCommand: boolean;
  skipPrompt: boolean;
  assertPresence: boolean;
};
export type Tries = { max: number; perTryS: number };
export type ElementAction = { target: Target; tries: Tries } & (
  | {
      name: "click_element";
      doubleClick: boolean;
      button: "left" | "right" | "middle";
      force: boolean;
      mouseClick: boolean;
      expectDownload: boolean;
      downloadFilename: string | null;
    }
  | {
      name: "input_text";
      text: string | null;
      how: "fill" | "type" | "key_press";
      pressEnter: boolean;
      clickFirst: boolean;
      isSlider: boolean;
    }
  | { name: "select_option"; values: string[]; expectDownload: boolean; downloadFilename: string | null }
  | { name: "check" | "uncheck" | "hover" }
  | { name: "upload_file"; filePath: string | null; fileUrl: string | null }
);
export type PageAction =
  | { name: "key_press"; keys: string[] }
  | { name: "scroll"; down: boolean; amount: number }
  | { name: "go_to_url"; url: string; newTab: boolean }
  | { name: "go_back" | "close_current_tab" | "close_all_but_last_tab" }
  | { name: "switch_tab"; tabIndex: number }
  | { name: "close_tabs_until"; matchingUrl: string | null; tabIndex: number | null }
  | { name: "download_url_as_pdf"; downloadFilename: string | null; url: string | null };
export type ApiCall = {
  name: "api_call";
  url: string;
  method: string;
  headers: Record<string, string>;
  body: Record<string, unknown> | string | null;
  queryParams: Record<string, string>;
  outputNames: string[];
  timeoutS: number;
  pollCondition: string | null;
  pollIntervalS: number;
  pollAttemptsMax: number;
};
export type Extraction = { identifier: string | null; allowNone: boolean } & (
  | { name: "locator"; command: string; outputName: string }
  | {
      name: "network_call";
      urlPattern: string | null;
      extractFrom: "request" | "response" | null;
      downloadFrom: "request" | "response" | null;
      downloadFilename: string | null;
    }
  | ApiCall
  | { name: "screenshot"; filename: string; fullPage: boolean }
  | { name: "state" }
);
export type OtherAction =
  | { name: "assert_network_call"; urlPattern: string | null; headerFilter: Record<string, string> }
  | {
      name: "set_variable";
      variable: string;
      value: Scalar | null;
      expression: string | null;
      outputName: string | null;
    }
  | { name: "count_locator"; locator: string; variable: string; timeoutS: number; outputName: string | null }
  | { name: "sleep_action"; seconds: number }
  | { name: "fail_state_action"; message: string }
  | { name: "human_in_loop_action"; waitMaxS: number }
  /** Accepted when a document is loaded, refused when it is run. `needs` completes "it needs …". */
  | { name: "unsupported"; field: string; needs: string };
export type Action =
  | { kind: "element"; element: ElementAction }
  | { kind: "page"; page: PageAction }
  | { kind: "extraction"; extraction: Extraction }
  | { kind: "other"; other: OtherAction };
