// A browser that reports everything that goes wrong, beside a real server.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

export { freePort, serve } from "../clients/server.mjs";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** A browser for one language; `faults` collects console errors, exceptions and policy reports. */
export async function browse(locale) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  const context = await browser.newContext({ locale, viewport: { width: 1440, height: 900 } });
  await context.addInitScript(() =>
    addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)),
  );
  const faults = [];
  const page = await context.newPage();
  page.on("console", (message) => {
    // Chromium also logs the status of a page that answers a wrong form.
    if (message.type() === "error" && !message.text().includes("status of 422")) faults.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`${page.url()}: ${error.message}`));
  return { browser, context, page, faults };
}

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const WIDE = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };
/** Narrower than any telephone of today; nothing may stick out here either. */
const NARROW = { width: 360, height: 740 };

/** Looks at a page in both themes, wide and on a telephone, and leaves the wide, light view behind. axe
 *  reads it wide and light, and narrow and dark.
 *  `shot` is called with `wide-light`, `wide-dark`, `phone-light`, `phone-dark`. */
export async function inspect(page, shot = async () => {}) {
  const wrong = [];
  for (const [name, size] of [["wide", WIDE], ["phone", PHONE]]) {
    await page.setViewportSize(size);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.evaluate(() => scrollTo(0, 0));
      await shot(`${name}-${colorScheme}`);
      if ((name === "wide") === (colorScheme === "light")) wrong.push(...(await violations(page)).map((text) => `${name}, ${colorScheme}: ${text}`));
    }
    wrong.push(await overflow(page));
  }
  await page.setViewportSize(NARROW);
  wrong.push(await overflow(page));
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  await page.setViewportSize(WIDE);
  return wrong.filter(Boolean);
}

/** Whether a page is wider than a small telephone; leaves the wide view behind. */
export async function overflowOnPhone(page) {
  await page.setViewportSize(NARROW);
  const wrong = await overflow(page);
  await page.setViewportSize(WIDE);
  return wrong;
}

/** What axe-core objects to. */
export async function violations(page) {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(AXE);
  const found = await page.evaluate(async () => (await axe.run(document, { resultTypes: ["violations"] })).violations);
  return found.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html.slice(0, 160)} ${node.failureSummary.split("\n")[1] ?? ""}`).join(" | ")}`);
}

/** How many pixels a page is wider than its window, and the first element that sticks out. */
export const overflow = (page) =>
  page.evaluate(() => {
    const wide = document.documentElement.scrollWidth - innerWidth;
    if (wide <= 0) return "";
    const culprit = [...document.querySelectorAll("body *")].find((element) => element.getBoundingClientRect().right > innerWidth + 1);
    return `${wide} px wider than ${innerWidth}: ${culprit?.outerHTML.slice(0, 120)}`;
  });

/** The folder of an example as an archive. */
export function archiveOf(example) {
  const folder = new URL(`../../examples/${example}/`, import.meta.url).pathname;
  return execFileSync("tar", ["-czf", "-", "-C", folder, "."], { maxBuffer: 1 << 28 });
}
