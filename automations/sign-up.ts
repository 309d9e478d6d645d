import { defineAutomation } from "fairlead/automations";

/** Fills in the sign-up form that is shipped beside it and returns what the page says about the new account. */
export default defineAutomation({
  description: "Signs a person up and reads the account number",
  parameters: { email: ["alice@example.com"], full_name: ["Alice Doe"] },
  async run({ page, pageUrl, input, step, log }) {
    await page.goto(await pageUrl("/sign-up.html"));
    await step("fill in the form", async () => {
      await page.getByLabel("Full name").fill(String(input.full_name[0] ?? ""));
      await page.getByLabel("Email").fill(String(input.email[0] ?? ""));
      await page.getByLabel("Plan").selectOption("Team");
      await page.getByLabel("I agree to the terms").check();
    });
    await step("create the account", () => page.getByRole("button", { name: "Create account" }).click());
    const number = await page.getByTestId("number").textContent();
    log(`The account is ${number}`);
    return {
      welcome: await page.getByTestId("welcome").textContent(),
      account_number: number,
      email: await page.getByTestId("email").textContent(),
      plan: await page.getByTestId("plan").textContent(),
    };
  },
});
