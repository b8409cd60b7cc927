// A browser that reports everything that goes wrong, beside a real server.

import { execFileSync } from "node:child_process";
import { chromium } from "playwright-core";

export { serve } from "../clients/server.mjs";

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

/** How many pixels a page is wider than a small phone; leaves the wide view behind. */
export async function overflowOnPhone(page) {
  await page.setViewportSize({ width: 360, height: 740 });
  const overflow = await page.evaluate(() => {
    const wide = document.documentElement.scrollWidth - innerWidth;
    if (wide <= 0) return "";
    const culprit = [...document.querySelectorAll("body *")].find((element) => element.getBoundingClientRect().right > innerWidth + 1);
    return `${wide} px: ${culprit?.outerHTML.slice(0, 120)}`;
  });
  await page.setViewportSize({ width: 1440, height: 900 });
  return overflow;
}

/** The folder of an example as an archive. */
export function archiveOf(example) {
  const folder = new URL(`../../examples/${example}/`, import.meta.url).pathname;
  return execFileSync("tar", ["-czf", "-", "-C", folder, "."], { maxBuffer: 1 << 28 });
}
