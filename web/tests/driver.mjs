/**
 * A browser for the end-to-end tests: steps come in as lines of JSON, and each is answered by one.
 *
 * A step names what a person would: a role and a name, a label, a text. It waits until that is there, for as
 * long as it may, and what it waited for in vain is in the answer.
 */
import { createInterface } from 'node:readline';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const STEP_TIMEOUT_MS = 20_000;
// No test asks for anything but the hub, and the browser itself is not to ask for anything either.
const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
];

const profile = mkdtempSync(join(tmpdir(), 'tandem-browser-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.TANDEM_CHROMIUM ?? '/usr/bin/chromium',
  args: QUIET,
  viewport: { width: 1280, height: 800 },
  reducedMotion: 'reduce',
  ignoreHTTPSErrors: false,
});
context.setDefaultTimeout(STEP_TIMEOUT_MS);
const page = context.pages()[0] ?? (await context.newPage());
const complaints = [];
page.on('pageerror', (error) => complaints.push(`page: ${error.message}`));
page.on('console', (message) => {
  // A refused request is logged by the browser itself, and is what some tests want.
  if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
    complaints.push(`console: ${message.text()}`);
  }
});

/** What a step is about. */
function find(step) {
  let within = page;
  if (step.within) within = page.getByRole(step.within.role, named(step.within));
  if (step.role) return within.getByRole(step.role, named(step)).first();
  if (step.label) return within.getByLabel(step.label, { exact: true }).first();
  return within.getByText(step.text, { exact: step.exact ?? false }).first();
}

function named(step) {
  if (step.matches) return { name: new RegExp(step.matches) };
  return step.name === undefined ? {} : { name: step.name, exact: step.exact ?? true };
}

const steps = {
  goto: (step) => page.goto(step.url),
  reload: () => page.reload(),
  click: (step) => find(step).click(),
  fill: (step) => find(step).fill(step.value),
  press: (step) => page.keyboard.press(step.key),
  see: (step) => find(step).waitFor({ state: 'visible' }),
  gone: (step) => find(step).waitFor({ state: 'hidden' }),
  count: (step) => page.getByRole(step.role, named(step)).count(),
  text: (step) => find(step).innerText(),
  attribute: (step) => find(step).getAttribute(step.attribute),
  url: () => page.url(),
  size: (step) => page.setViewportSize({ width: step.width, height: step.height }),
  scheme: (step) => page.emulateMedia({ colorScheme: step.scheme }),
  offline: (step) => context.setOffline(step.offline),
  screenshot: (step) => page.screenshot({ path: step.path }).then(() => null),
  download: async (step) => {
    const [file] = await Promise.all([page.waitForEvent('download'), find(step).click()]);
    return { name: file.suggestedFilename(), text: readFileSync(await file.path(), 'utf8') };
  },
  evaluate: (step) => page.evaluate(step.script),
  complaints: () => complaints.splice(0),
};

for await (const line of createInterface({ input: process.stdin })) {
  const step = JSON.parse(line);
  let answer;
  try {
    const value = await steps[step.do](step);
    answer = { value: value ?? null };
    if (step.do === 'goto' || step.do === 'reload') answer = { value: null };
  } catch (error) {
    answer = { error: `${error.message}\n${await shown()}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await context.close();
rmSync(profile, { recursive: true, force: true });

/** The page as a screen reader has it, for whoever reads why a step failed. */
async function shown() {
  try {
    return await page.locator('body').ariaSnapshot({ timeout: 2000 });
  } catch {
    return '(the page could not be read)';
  }
}
