// Opens pages of other origins in Chromium, which send to hourglass what it takes from them, and what it must refuse.
const { chromium } = require("playwright-core");
const { servePlain, serveTls } = require("./pages.js");
const { Hourglass } = require("./hourglass.js");
const { Transcript } = require("./transcript.js");
const open = require("./open.js");
const access = require("./access.js");
const tls = require("./tls.js");

/// Names that the browser finds here; it trusts neither as it trusts localhost.
const NAMES = ["evil.example", "hourglass"];

async function main(binary, executablePath) {
  const rules = NAMES.map((name) => `MAP ${name} 127.0.0.1`).join(", ");
  const args = ["--no-sandbox", `--host-resolver-rules=${rules}`];
  const browser = await chromium.launch({ executablePath, args });
  const transcript = new Transcript();
  const servers = [];
  const world = {
    transcript,
    plain: await servePlain(),
    tls: await serveTls(),
    start: async (...options) => {
      const server = await Hourglass.start(binary, options);
      servers.push(server);
      return server;
    },
    /// Opens a page in a browser without memories.
    open: async (url) => {
      const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
      await page.goto(url);
      return page;
    },
  };
  try {
    for (const part of [open.pages, open.rebinding, open.ingest, access.passwords, access.tokens, access.named, tls.pages, tls.mixed]) {
      await part(world);
    }
  } finally {
    await browser.close();
    for (const server of servers) await server.stop();
  }
  console.log(`${transcript.checks} checks, ${transcript.differences} different`);
  process.exit(transcript.differences ? 1 : 0);
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
