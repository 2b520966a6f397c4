// A server with tokens, and one that names an origin.
const { one, lines } = require("./events.js");
const { BLOCKED, SCRIPT } = require("./refused.js");

/// Answers to a login.
const LOGIN = ["GET /docs 401", "GET /docs 200", "GET /docs 304", "GET /openapi.json 200"];
/// An hour of nobody, as text.
const NOBODY = "unique_users,0 clicks,0 impressions,0";

/// Logs in on /docs with a token as the password, which the browser remembers.
async function login(page, server, token) {
  const url = `http://me:${token}@localhost:${server.port}/docs`;
  const response = await page.goto(url);
  // Without the password in the address, as after a person has typed it.
  await page.goto(server.at("localhost") + "/docs");
  await page.waitForSelector(".opblock");
  return String(response.status());
}

/// What the browser remembers for the server is of no use to other pages.
async function passwords({ transcript, plain, start, open }) {
  const server = await start();
  const admin = server.token("admin");
  const page = await open("about:blank");
  const url = server.at("localhost");
  const check = (what, act, expected) => transcript.check(server, `password: ${what}`, act, expected);
  await check("log in on /docs", () => login(page, server, admin), { saw: "200", had: LOGIN });
  await check("fetch GET /sql?q= from there", () => page.evaluate(async () => String((await fetch("/sql?q=SELECT+1")).status)), {
    saw: "200", had: ["GET /sql 200"],
  });
  for (const [site, host] of [["cross-site", "127.0.0.1"], ["same site", "localhost"]]) {
    const home = `http://${host}:${plain}/`;
    await page.goto(home);
    for (const [target, options, had] of [
      ["/sql?q=SELECT+1", {}, "GET /sql 403"],
      ["/analytics?timestamp=0", {}, "GET /analytics 403"],
      ["/sql", { method: "POST", body: "SELECT 1" }, "POST /sql 403"],
      ["/admin/flush", { method: "POST" }, "POST /admin/flush 403"],
    ]) {
      const act = () => page.evaluate(([url, options]) => ask(url, options), [url + target, { credentials: "include", ...options }]);
      await check(`${site}: fetch ${had.slice(0, -4)}, credentials`, act, { saw: BLOCKED, had: [had] });
    }
    await check(`${site}: a script of /sql?q= whose rows are one`, () =>
      page.evaluate(async (url) => `${await load("script", url)}, ${typeof leaked}`, url + SCRIPT), {
      saw: "failed, undefined", had: ["GET /sql 403"],
    });
    const leave = async (path, go) => {
      const [response] = await Promise.all([page.waitForResponse(url + path), page.evaluate(go, url + path)]);
      await response.finished();
      return String(response.status());
    };
    await check(`${site}: a form to /admin/flush`, () => leave("/admin/flush", (url) => submit(url)), {
      saw: "403", had: ["POST /admin/flush 403"],
    });
    await page.goto(home);
    // A link shows its answer to the person alone; from another site it is refused, as a password may be remembered for long.
    const status = site === "cross-site" ? "403" : "200";
    await check(`${site}: a link to /queries`, () => leave("/queries", (url) => void (location.href = url)), {
      saw: status, had: [`GET /queries ${status}`],
    });
  }
  await page.context().close();
}

/// A token that a page shows to everyone is taken from the pages of its origin.
async function tokens({ transcript, plain, start, open }) {
  const server = await start("--anonymous", "none");
  server.token("admin");
  const write = server.token("write", "--origin", `http://127.0.0.1:${plain}`);
  const page = await open(`http://127.0.0.1:${plain}/`);
  const other = await open(`http://localhost:${plain}/`);
  const url = server.at("localhost");
  const ask = (page, target, body) => page.evaluate(([url, body]) => ask(url, { method: "POST", body }), [url + target, body]);
  const beacon = (page, target, body) => page.evaluate(([url, body]) => String(navigator.sendBeacon(url, body)), [url + target, body]);
  for (const [whose, from, token, status] of [
    ["its token", page, write, 0], ["the token of another origin", other, write, 403], ["a wrong token", page, "hg_wrong", 401], ["no token", page, "", 401],
  ]) {
    const given = token && `&token=${token}`;
    const check = (what, act, had, saw, clicks) =>
      transcript.check(server, `${whose}: ${what}`, act, { saw, had: [had], clicks: status ? 0 : clicks });
    const problem = new RegExp(`^${status} \\{"type":"urn:hourglass:problem:`);
    await check("fetch POST /analytics", (hour) => ask(from, one("", hour) + given), `POST /analytics ${status || 204}`, status ? problem : "204", 1);
    await check("fetch POST /events", (hour) => ask(from, `/events?${given}`, lines(hour)), `POST /events ${status || 200}`,
      status ? problem : '200 {"accepted":2}', 2);
    await check("sendBeacon /analytics", (hour) => beacon(from, one("", hour) + given), `POST /analytics ${status || 204}`, "true", 1);
    await check("sendBeacon /events", (hour) => beacon(from, `/events?${given}`, lines(hour)), `POST /events ${status || 200}`, "true", 2);
  }
  await page.context().close();
  await other.context().close();
}

/// Pages of an origin that `cors_origin` names may ask, and change nothing.
async function named({ transcript, plain, start, open }) {
  const home = `http://localhost:${plain}/`;
  const server = await start("--cors-origin", new URL(home).origin);
  const page = await open(home);
  const other = await open(`http://127.0.0.1:${plain}/`);
  const url = server.at("localhost");
  const check = (what, act, expected) => transcript.check(server, `cors_origin: ${what}`, act, expected);
  const ask = (page, target, options) => page.evaluate(([url, options]) => ask(url, options), [url + target, options]);
  const hour = (page, timestamp, options = {}) => ask(page, `/analytics?timestamp=${timestamp}`, options);
  const statement = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ query: "SELECT 1 AS n" }) };
  const flush = { method: "POST" };
  await check("fetch POST /analytics", (time) => ask(page, one("", time), { method: "POST" }), {
    saw: "204", had: ["POST /analytics 204"], clicks: 1,
  });
  await check("fetch GET /analytics", (time) => hour(page, time), { saw: `200 ${NOBODY}`, had: ["GET /analytics 200"] });
  await check("fetch POST /sql, JSON", () => ask(page, "/sql", statement), { saw: '200 [{"n":1}]', had: ["OPTIONS /sql 204", "POST /sql 200"] });
  await check("fetch POST /admin/flush", () => ask(page, "/admin/flush", flush), { saw: /^403/, had: ["POST /admin/flush 403"] });
  await check("fetch GET /analytics from another origin", (time) => hour(other, time), { saw: BLOCKED, had: ["GET /analytics 403"] });
  const [admin, read] = [server.token("admin"), server.token("read")];
  const bearer = (token) => ({ headers: { authorization: `Bearer ${token}` } });
  await check("fetch GET /analytics, no token where one is needed", (time) => hour(page, time), { saw: /^401/, had: ["GET /analytics 401"] });
  await check("fetch GET /analytics with a token", (time) => hour(page, time, bearer(read)), {
    saw: `200 ${NOBODY}`, had: ["OPTIONS /analytics 204", "GET /analytics 200"],
  });
  await check("fetch GET /analytics with it from another origin", (time) => hour(other, time, bearer(read)), {
    saw: BLOCKED, had: ["OPTIONS /analytics 204"],
  });
  await check("fetch POST /admin/flush with a token", () => ask(page, "/admin/flush", { ...flush, ...bearer(admin) }), {
    saw: /^403/, had: ["OPTIONS /admin/flush 204", "POST /admin/flush 403"],
  });
  await check("log in on /docs", () => login(page, server, admin), { saw: "200", had: LOGIN });
  await page.goto(home);
  // 403 and not 401: the password was sent.
  await check("fetch GET /analytics, credentials", (time) => hour(page, time, { credentials: "include" }), {
    saw: BLOCKED, had: ["GET /analytics 403"],
  });
  await page.context().close();
  await other.context().close();
}

module.exports = { passwords, tokens, named };
