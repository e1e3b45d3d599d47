// Looks at the gateway's page for tests/gateway_page.sh. Ends the gateway.
//
//     node page.mjs BROWSER URL PID [FOLDER FOR PICTURES]

import { setTimeout as sleep } from "node:timers/promises";
import puppeteer from "puppeteer-core";

const [browserPath, url, gateway, pictures] = process.argv.slice(2);
let failures = 0;

function check(what, good, seen) {
  if (!good) failures += 1;
  console.log(good ? `  ok    ${what}` : `  FAIL  ${what}: ${JSON.stringify(seen)}`);
}

// Looks again for ten seconds.
async function eventually(what, look, isGood) {
  let seen;
  for (const end = Date.now() + 10_000; Date.now() < end; await sleep(50)) {
    seen = await look();
    if (isGood(seen)) break;
  }
  check(what, isGood(seen), seen);
  return seen;
}

const browser = await puppeteer.launch({
  executablePath: browserPath,
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const page = await browser.newPage();
const reported = [];
page.on("console", (message) => {
  if (["error", "warn", "warning"].includes(message.type())) reported.push(message.text());
});
page.on("pageerror", (error) => reported.push(String(error)));
page.on("requestfailed", (request) => reported.push(`${request.url()} failed`));
page.on("response", (response) => {
  if (response.status() >= 400) reported.push(`${response.url()}: ${response.status()}`);
});

// The figures in a table, by their names.
const table = (id) => page.$$eval(`#${id} tr`, (rows) => Object.fromEntries(rows.map(
  (row) => [row.cells[0].textContent, row.cells[1].textContent],
)));
const acquires = async () => Number((await table("statistics")).acquires);
const count = (selector) => page.$$eval(selector, (found) => found.length);
const text = (selector) => page.$eval(selector, (element) => element.textContent);
const picture = (name) => pictures && page.screenshot({ path: `${pictures}-${name}.png`, fullPage: true });
const call = (path, tool) => fetch(`${url}${path}`, {
  method: "POST",
  body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: tool } }),
});

// One server's page. `path` is where its requests go, `max` how many processes it may have.
async function look(path, max) {
  await eventually(`${path}: the page shows its places`, () => count("#places span"), (n) => n === max);
  check("... and its limit", (await table("status"))["max size"] === String(max), await table("status"));
  await eventually("... and processes", () => text("#children"), (seen) => /^\d+/.test(seen));

  const before = await acquires();
  await page.click("#test");
  await eventually("one request is answered", () => text("#answer"), (seen) => /^200 in .*"pid":/s.test(seen));
  await page.click("#burst");
  await eventually("200 at once are", () => text("#answer"), (seen) => seen.startsWith("200 of 200"));
  await eventually("... and counted", acquires, (n) => n === before + 201);

  // Somebody else works for five seconds, and slow enough to be seen.
  const until = Date.now() + 5000;
  const work = Array.from({ length: max + 1 }, async () => {
    while (Date.now() < until) await call(path, "late");
  });
  const seen = { acquires: new Set(), busy: 0 };
  while (Date.now() < until) {
    seen.acquires.add(await acquires());
    seen.busy = Math.max(seen.busy, await count("#places .in_use"));
    await sleep(100);
  }
  await picture(path.replaceAll("/", "-"));
  await Promise.all(work);
  check(`the figures move during the work (${seen.acquires.size} different ones)`,
    seen.acquires.size >= 4, [...seen.acquires]);
  check("all are seen in use", seen.busy === max, seen.busy);
  await eventually("... and idle afterwards", () => count("#places .idle"), (n) => n === max);
  for (const chart of ["wait_time", "use_time"]) {
    await eventually(`${chart} is drawn`, () => count(`#${chart} circle`), (n) => n >= 4);
  }
  await call(path, "exit");
  await eventually("a server that ended is among the causes", () => text("#closes"),
    (seen) => seen.includes("discarded"));
}

await page.goto(url);
const named = (await (await fetch(`${url}/status`)).json()).servers;
if (named) {
  await eventually("the page names the servers", () => text("#servers"), (seen) => seen === "onetwo");
  await look("/mcp/one", 4);
  const other = await page.$("#servers a:nth-child(2)");
  await Promise.all([page.waitForNavigation(), other.click()]);
  await eventually("the other can be chosen", () => text("#servers [aria-current]"), (seen) => seen === "two");
  check("... and has not worked", (await acquires()) === 0, await acquires());
  await look("/mcp/two", 2);
} else {
  await look("/mcp", 4);
}
check("nothing is reported on the console", reported.length === 0, reported);

process.kill(Number(gateway), "SIGTERM");
await eventually("the page notices that the gateway has ended", () => text("#lost"),
  (seen) => seen.includes("no connection"));
await browser.close();
process.exit(failures > 0 ? 1 : 0);
