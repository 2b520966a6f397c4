// A page of another origin can neither ask nor change anything.

/// What `fetch` throws where the browser keeps an answer from the page.
const BLOCKED = "TypeError";
const COUNT = "SELECT count(*) AS n FROM events";
/// Rows that are a script, in a format that no browser refuses to run.
const SCRIPT = `/sql?format=tsv&q=${encodeURIComponent(`SELECT 'leaked = ' || count(*) AS "//" FROM events`)}`;

const WAYS = [
  // What is done, the target, the options of fetch, the answers of the server.
  ["GET /analytics", "/analytics?timestamp=0", {}, ["GET /analytics 403"]],
  ["GET /sql?q=", `/sql?q=${encodeURIComponent(COUNT)}`, {}, ["GET /sql 403"]],
  ["GET /queries", "/queries", {}, ["GET /queries 403"]],
  ["GET /queries/top_users", "/queries/top_users", {}, ["GET /queries/NAME 403"]],
  ["GET /schema", "/schema", {}, ["GET /schema 403"]],
  ["HEAD /docs", "/docs", { method: "HEAD" }, ["HEAD /docs 403"]],
  ["POST /sql, text", "/sql", { method: "POST", body: COUNT }, ["POST /sql 403"]],
  ["POST /sql, JSON", "/sql", { method: "POST", body: JSON.stringify({ query: COUNT }), headers: { "content-type": "application/json" } },
    ["OPTIONS /sql 204"]],
  ["GET /sql with a header of its own", "/sql?q=SELECT+1", { headers: { authorization: "Bearer x" } }, ["OPTIONS /sql 204"]],
  ["POST /admin/flush", "/admin/flush", { method: "POST" }, ["POST /admin/flush 403"]],
  ["POST /admin/flush, credentials", "/admin/flush", { method: "POST", credentials: "include" }, ["POST /admin/flush 403"]],
  ["POST /admin/forget", "/admin/forget?user=a&now=true", { method: "POST" }, ["POST /admin/forget 403"]],
  ["POST /admin/tokens", "/admin/tokens?role=admin", { method: "POST" }, ["POST /admin/tokens 403"]],
  ["DELETE /events", "/events", { method: "DELETE" }, ["OPTIONS /events 204"]],
  ["PUT /analytics", "/analytics?timestamp=0&user=a&event=click", { method: "PUT" }, ["OPTIONS /analytics 204"]],
  ["PATCH /admin/flush", "/admin/flush", { method: "PATCH" }, ["OPTIONS /admin/flush 204"]],
];

/// Tries to ask and to change. `metadata` is whether the browser sends Fetch Metadata to this server, as it does to trustworthy hosts only.
async function refused({ transcript, server, page, url, name, metadata = true }) {
  const check = (what, act, expected) => transcript.check(server, `${name}: ${what}`, act, expected);
  for (const [what, target, options, had] of WAYS) {
    await check(`fetch ${what}`, () => page.evaluate(([url, options]) => ask(url, options), [url + target, options]), { saw: BLOCKED, had });
  }
  await check("fetch POST /admin/flush, no-cors", () =>
    page.evaluate((url) => ask(url, { method: "POST", mode: "no-cors", credentials: "include" }), `${url}/admin/flush`), {
    saw: /opaque|TypeError/, had: ["POST /admin/flush 403"],
  });
  await check("sendBeacon /sql, a statement", () =>
    page.evaluate(([url, body]) => String(navigator.sendBeacon(url, body)), [`${url}/sql`, COUNT]), { saw: "true", had: ["POST /sql 403"] });
  await check("an image of /sql?q=", () => page.evaluate((url) => load("img", url), `${url}/sql?q=SELECT+1`), {
    saw: "failed", had: [`GET /sql ${metadata ? 403 : 200}`],
  });
  // Without Fetch Metadata the statement runs, and the browser keeps its rows from the page.
  await check("a script of /sql?q= whose rows are one", () =>
    page.evaluate(async (url) => `${await load("script", url)}, ${typeof leaked}`, url + SCRIPT), {
    saw: "failed, undefined", had: [`GET /sql ${metadata ? 403 : 200}`],
  });
  await forms(check, page, url);
}

/// Forms leave the page for the server's answer.
async function forms(check, page, url) {
  const home = page.url();
  for (const [path, body] of [["/admin/flush", ""], ["/sql", COUNT]]) {
    await check(`a form to ${path}`, async () => {
      const [response] = await Promise.all([page.waitForResponse(url + path), page.evaluate(([url, body]) => submit(url, body), [url + path, body])]);
      await response.finished();
      return String(response.status());
    }, { saw: "403", had: [`POST ${path} 403`] });
    await page.goto(home);
  }
}

/// Nothing of all that was done: the events are where they were.
async function untouched({ transcript, server }) {
  await transcript.check(server, "afterwards", async () => {
    const [files, tokens] = [await server.metric("hourglass_files"), await (await server.get("/admin/tokens")).json()];
    return `${files} files, ${tokens.length} tokens`;
  }, { saw: "0 files, 0 tokens", had: ["GET /admin/tokens 200"] });
}

module.exports = { refused, untouched, BLOCKED, SCRIPT };
