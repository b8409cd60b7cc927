// A real `siesta serve` with real Docker, and a browser that reports everything that goes wrong.

import { spawn, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Starts a server on free ports; resolves when it says its address and its claim token. */
export async function serve(settings = {}) {
  const data = mkdtempSync(join(tmpdir(), "siesta-browser-"));
  const child = spawn(process.env.SIESTA_BINARY, ["serve"], {
    env: {
      ...process.env,
      SIESTA_DATA_DIR: data,
      SIESTA_LISTEN: "127.0.0.1:0",
      SIESTA_LISTEN_TLS: "127.0.0.1:0",
      SIESTA_NETWORK_RANGE: `10.${200 + (process.pid % 50)}.0.0/16`,
      SIESTA_ACCEPT_OPEN_NETWORK: "true",
      ...settings,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const found = await new Promise((resolve, reject) => {
    const said = {};
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line.startsWith("Dashboard: ")) said.url = line.slice("Dashboard: ".length).trim();
      if (line.startsWith("Claim token")) said.token = line.split(": ").pop().trim();
      if (said.url && said.token) resolve(said);
    });
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    removeTraces(readFileSync(join(data, "instance"), "utf8").trim());
    rmSync(data, { recursive: true, force: true });
  };
  return { ...found, stop };
}

/** Removes what one server left in Docker, by its own label. */
function removeTraces(instance) {
  const docker = (...args) => execFileSync("docker", args, { encoding: "utf8" }).split("\n").filter(Boolean);
  const filter = ["--filter", `label=siesta.instance=${instance}`];
  for (const [list, remove] of [
    [["ps", "-aq"], ["rm", "-f"]],
    [["network", "ls", "-q"], ["network", "rm"]],
    [["volume", "ls", "-q"], ["volume", "rm", "-f"]],
    [["images", "-q"], ["rmi", "-f"]],
  ]) {
    for (const id of docker(...list, ...filter)) {
      try {
        docker(...remove, id);
      } catch {
        // In use by something that goes with it, or gone already.
      }
    }
  }
}

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
