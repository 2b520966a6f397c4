// Opens /docs in Chromium, as a person does: every operation is listed, "Try it out" of GET /analytics is answered, and neither the
// page's policy nor an error is met on the way.
const assert = require("node:assert");
const { chromium } = require("playwright-core");

async function main(url, executablePath) {
  const { paths } = await (await fetch(`${url}/openapi.json`)).json();
  const expected = Object.values(paths).flatMap((item) => Object.keys(item)).length;
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const page = await browser.newPage();
  const faults = [];
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${url}/`) && !/^(data|blob):/.test(request.url())) faults.push(request.url());
  });
  await page.goto(`${url}/docs`);
  await page.waitForSelector(".opblock");
  assert.equal(await page.locator(".opblock").count(), expected);
  const block = page.locator("#operations-Numbers-hourNumbers");
  await block.locator("button.opblock-summary-control").click();
  await block.locator(".try-out__btn").click();
  await block.locator('tr[data-param-name="timestamp"] input').fill("10032342000");
  await block.locator(".execute").click();
  const body = block.locator(".live-responses-table .response-col_description pre").first();
  assert.equal((await body.innerText()).trim(), "unique_users,0\nclicks,0\nimpressions,0");
  assert.deepEqual(faults, []);
  await browser.close();
  console.log(`/docs: ${expected} operations, and one tried out`);
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
