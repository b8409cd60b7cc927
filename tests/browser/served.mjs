// A browser that reports everything that goes wrong, beside a real server.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { get } from "node:http";
import { createRequire } from "node:module";
import { gunzipSync } from "node:zlib";
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
 *  reads it wide and light, and narrow and dark; a `thorough` look whole at both widths, and again by its
 *  rules of colour in the dark. `skip` selects what repeats so often that axe need not read it all.
 *  `shot` is called with `wide-light`, `wide-dark`, `phone-light`, `phone-dark`. */
export async function inspect(page, shot = async () => {}, { thorough = false, skip } = {}) {
  const wrong = [];
  for (const [name, size] of [["wide", WIDE], ["phone", PHONE]]) {
    await page.setViewportSize(size);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.evaluate(() => scrollTo(0, 0));
      await shot(`${name}-${colorScheme}`);
      const opposite = (name === "wide") === (colorScheme === "light");
      if (!thorough && !opposite) continue;
      const found = await violations(page, thorough && colorScheme === "dark" ? COLOURS : undefined, skip);
      wrong.push(...found.map((text) => `${name}, ${colorScheme}: ${text}`));
    }
    wrong.push(await overflow(page), await hiddenTab(page));
  }
  await page.setViewportSize(NARROW);
  wrong.push(await overflow(page));
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  await page.setViewportSize(WIDE);
  return wrong.filter(Boolean);
}

/** The rules of axe-core whose verdict the theme changes. */
const COLOURS = ["color-contrast", "link-in-text-block"];

/** What axe-core objects to, by all of its rules or by some. */
export async function violations(page, rules, skip) {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(AXE);
  const look = async ([rules, skip]) => {
    const options = { resultTypes: ["violations"], ...(rules && { runOnly: { type: "rule", values: rules } }) };
    return (await axe.run(skip ? { exclude: [skip] } : document, options)).violations;
  };
  const found = await page.evaluate(look, [rules, skip]);
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

/** The tab of the page that is open, if it does not lie in the part of its row that can be seen. */
const hiddenTab = (page) =>
  page.evaluate(async () => {
    await new Promise(requestAnimationFrame);
    const hidden = [...document.querySelectorAll(".tabs > [aria-current]")].find((tab) => {
      const [row, own] = [tab.parentElement.getBoundingClientRect(), tab.getBoundingClientRect()];
      return own.left < row.left - 1 || own.right > row.right + 1;
    });
    return hidden && `the tab ${hidden.textContent} is out of sight`;
  });

/** Bytes of a first view of a page as they travel: the page and what it loads at once, fonts left out.
 *  `known` keeps what files weigh from one call to the next. */
export async function weigh(address, cookie, known) {
  const { body, bytes } = await travelled(address, cookie);
  const files = [...body.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)].map(([, path]) => path);
  let all = bytes;
  for (const path of new Set(files)) {
    if (!known.has(path)) known.set(path, (await travelled(new URL(path, address), cookie)).bytes);
    all += known.get(path);
  }
  return all;
}

/** What is sent for an address to a browser that takes gzip. */
function travelled(address, cookie) {
  return new Promise((resolve, reject) => {
    const headers = { "accept-encoding": "gzip", accept: "text/html", cookie };
    const ask = get(address, { headers }, async (answer) => {
      const sent = Buffer.concat(await answer.toArray());
      const body = answer.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent;
      if (answer.statusCode < 400) resolve({ bytes: sent.length, body: body.toString() });
      else reject(new Error(`${address}: ${answer.statusCode}`));
    });
    ask.on("error", reject);
  });
}

/** The folder of an example as an archive. */
export function archiveOf(example) {
  const folder = new URL(`../../examples/${example}/`, import.meta.url).pathname;
  return execFileSync("tar", ["-czf", "-", "-C", folder, "."], { maxBuffer: 1 << 28 });
}
