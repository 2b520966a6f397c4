// A server without tokens.
const { events, one, lines } = require("./events.js");
const { refused, untouched, BLOCKED } = require("./refused.js");

/// The same from pages of another site, of another port of the same one, and of names that are not trustworthy.
async function pages({ transcript, plain, start, open }) {
  const server = await start();
  const sites = [
    { name: "cross-site", from: "127.0.0.1", to: "localhost" },
    { name: "same site", from: "localhost", to: "localhost" },
    { name: "plain names", from: "evil.example", to: "hourglass", metadata: false },
  ];
  for (const { name, from, to, metadata } of sites) {
    const page = await open(`http://${from}:${plain}/`);
    const site = { transcript, server, page, url: server.at(to), name, metadata };
    await events(site);
    await refused(site);
    await nowhere(site);
    await page.context().close();
  }
  await untouched({ transcript, server });
}

/// A sandboxed frame is of another origin than any page (`Origin: null`).
async function nowhere({ transcript, server, page, url, name }) {
  const check = (what, act, expected) => transcript.check(server, `${name}: a sandboxed frame: ${what}`, act, expected);
  const post = (target) => page.evaluate((url) => askFromNowhere(url, { method: "POST" }), url + target);
  await check("fetch POST /analytics", (hour) => post(one("", hour)), { saw: "204", had: ["POST /analytics 204"], clicks: 1 });
  await check("fetch POST /admin/flush", () => post("/admin/flush"), { saw: BLOCKED, had: ["POST /admin/flush 403"] });
}

/// A page whose name resolves to this address is of the same origin as the server.
async function rebinding({ transcript, start, open }) {
  const server = await start();
  const page = await open("about:blank");
  const url = server.at("evil.example");
  // Chromium asks once more after a 421, on a connection of its own (RFC 9110, section 15.5.20).
  const check = (what, act, had) => transcript.check(server, `rebinding: ${what}`, act, { saw: "421", had: Array(2).fill(`${had} 421`), clicks: 0 });
  await check("GET /queries in the address bar", async () => String((await page.goto(`${url}/queries`)).status()), "GET /queries");
  const ask = (target, method) => page.evaluate(async ([target, method]) => `${(await fetch(target, { method })).status}`, [target, method]);
  await check("fetch GET /analytics", (hour) => ask(`/analytics?timestamp=${hour}`, "GET"), "GET /analytics");
  await check("fetch POST /analytics", (hour) => ask(one("", hour), "POST"), "POST /analytics");
  await check("fetch GET /sql?q=", () => ask("/sql?q=SELECT+1", "GET"), "GET /sql");
  await check("fetch POST /admin/flush", () => ask("/admin/flush", "POST"), "POST /admin/flush");
  server.token("admin");
  await transcript.check(server, "rebinding: fetch GET /sql?q=, once there is a token", () => ask("/sql?q=SELECT+1", "GET"), {
    saw: "401", had: ["GET /sql 401"],
  });
  await page.context().close();
}

/// The address that takes events and nothing else.
async function ingest({ transcript, plain, start, open }) {
  const server = await start("--listen-ingest", "127.0.0.1:0");
  const page = await open(`http://127.0.0.1:${plain}/`);
  const url = `http://localhost:${server.ingestPort}`;
  const check = (what, act, expected) => transcript.check(server, `ingest: ${what}`, act, expected);
  const ask = (target, options) => page.evaluate(([url, options]) => ask(url, options), [url + target, options]);
  await check("fetch POST /analytics", (hour) => ask(one("", hour), { method: "POST" }), { saw: "204", had: ["POST /analytics 204"], clicks: 1 });
  await check("fetch POST /events", (hour) => ask("/events", { method: "POST", body: lines(hour) }), {
    saw: '200 {"accepted":2}', had: ["POST /events 200"], clicks: 2,
  });
  await check("sendBeacon /events", (hour) =>
    page.evaluate(([url, body]) => String(navigator.sendBeacon(url, body)), [`${url}/events`, lines(hour)]), {
    saw: "true", had: ["POST /events 200"], clicks: 2,
  });
  for (const [target, options, had] of [
    ["/sql", { method: "POST", body: "SELECT 1" }, "POST /sql 403"],
    ["/sql?q=SELECT+1", {}, "GET /sql 403"],
    ["/analytics?timestamp=0", {}, "GET /analytics 403"],
    ["/admin/flush", { method: "POST" }, "POST /admin/flush 403"],
  ]) {
    await check(`fetch ${had.slice(0, -4)}`, () => ask(target, options), { saw: BLOCKED, had: [had] });
  }
  // The server's own page there may do no more.
  await check("GET /docs in the address bar", async () => String((await page.goto(`${url}/docs`)).status()), { saw: "403", had: ["GET /docs 403"] });
  await check("fetch POST /sql from there", () =>
    page.evaluate(async () => String((await fetch("/sql", { method: "POST", body: "SELECT 1" })).status)), { saw: "403", had: ["POST /sql 403"] });
  await page.context().close();
}

module.exports = { pages, rebinding, ingest };
