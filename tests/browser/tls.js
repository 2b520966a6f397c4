// A server with TLS, and pages of HTTPS.
const { Hourglass } = require("./hourglass.js");
const { events, one } = require("./events.js");
const { refused, BLOCKED } = require("./refused.js");

/// The same as without TLS, over HTTP/2.
async function pages({ transcript, tls, start, open }) {
  const server = await start(...Hourglass.tls());
  const url = server.at("localhost");
  const page = await open(`https://127.0.0.1:${tls}/`);
  const protocols = await protocolsOf(page, url);
  const site = { transcript, server, page, url, name: "https" };
  await events(site);
  await refused(site);
  await transcript.check(server, "https: the protocols of all that", async () => [...protocols].join(", "), { saw: "h2", had: [] });
  await transcript.check(server, "https: nextHopProtocol of the server's own page", async () => {
    await page.goto(`${url}/docs`);
    await page.waitForSelector(".opblock");
    const protocols = await page.evaluate(() => performance.getEntries().map((entry) => entry.nextHopProtocol).filter(Boolean));
    return [...new Set(protocols)].join(", ");
  }, { saw: "h2", had: ["GET /docs 200", "GET /openapi.json 200"] });
  await page.context().close();
}

/// Collects the protocols of the answers of a server: pages of other origins cannot see them.
async function protocolsOf(page, url) {
  const protocols = new Set();
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  session.on("Network.responseReceived", ({ response }) => response.url.startsWith(url) && protocols.add(response.protocol));
  return protocols;
}

/// From a page of HTTPS the browser sends to plain HTTP on this machine only.
async function mixed({ transcript, tls, start, open }) {
  const server = await start();
  const page = await open(`https://127.0.0.1:${tls}/`);
  const check = (what, act, expected) => transcript.check(server, `mixed content: ${what}`, act, expected);
  const beacon = (url) => page.evaluate((url) => String(navigator.sendBeacon(url)), url);
  const ask = (url) => page.evaluate((url) => ask(url, { method: "POST" }), url);
  const [far, near] = [server.at("hourglass"), server.at("localhost")];
  await check("sendBeacon to http://hourglass", (hour) => beacon(one(far, hour)), { saw: "false", had: [], clicks: 0 });
  await check("fetch to http://hourglass", (hour) => ask(one(far, hour)), { saw: BLOCKED, had: [], clicks: 0 });
  await check("sendBeacon to http://localhost", (hour) => beacon(one(near, hour)), { saw: "true", had: ["POST /analytics 204"], clicks: 1 });
  await check("fetch to http://localhost", (hour) => ask(one(near, hour)), { saw: "204", had: ["POST /analytics 204"], clicks: 1 });
  await page.context().close();
}

module.exports = { pages, mixed };
