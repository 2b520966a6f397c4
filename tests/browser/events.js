// Events from the page of another origin are stored, and their answers can be read.

const event = (hour, user) => JSON.stringify({ timestamp: hour, user, event: "click" });
const lines = (hour) => `${event(hour, "a")}\n${event(hour, "b")}\n`;
const one = (url, hour, user = "a") => `${url}/analytics?timestamp=${hour}&user=${user}&event=click`;

/// Sends events to `url` in every way that a page has.
async function events({ transcript, server, page, url, name }) {
  const check = (what, act, expected) => transcript.check(server, `${name}: ${what}`, act, expected);
  const text = { "content-type": "text/plain" };
  await check("fetch POST /analytics", (hour) => page.evaluate((url) => ask(url, { method: "POST" }), one(url, hour)), {
    saw: "204", had: ["POST /analytics 204"], clicks: 1,
  });
  await check("fetch POST /analytics without an event", (hour) =>
    page.evaluate((url) => ask(url, { method: "POST" }), `${url}/analytics?timestamp=${hour}&user=a`), {
    saw: /^400 \{"type":/, had: ["POST /analytics 400"], clicks: 0,
  });
  await check("fetch POST /analytics with an Idempotency-Key, twice", (hour) =>
    page.evaluate(async ([url, key]) => {
      const options = { method: "POST", headers: { "idempotency-key": key } };
      return `${await ask(url, options)}, ${await ask(url, options)}`;
    }, [one(url, hour), String(hour)]), {
    saw: "204, 204", had: ["OPTIONS /analytics 204", "POST /analytics 204", "POST /analytics 204"], clicks: 1,
  });
  await check("fetch POST /events, text/plain", (hour) =>
    page.evaluate(([url, headers, body]) => ask(url, { method: "POST", headers, body }), [`${url}/events`, text, lines(hour)]), {
    saw: '200 {"accepted":2}', had: ["POST /events 200"], clicks: 2,
  });
  await check("fetch POST /events, JSON array", (hour) =>
    page.evaluate(([url, body]) => ask(url, { method: "POST", headers: { "content-type": "application/json" }, body }),
      [`${url}/events`, `[${event(hour, "a")},${event(hour, "b")}]`]), {
    saw: '200 {"accepted":2}', had: ["OPTIONS /events 204", "POST /events 200"], clicks: 2,
  });
  await check("sendBeacon /analytics, no body", (hour) =>
    page.evaluate((url) => String(navigator.sendBeacon(url)), one(url, hour)), {
    saw: "true", had: ["POST /analytics 204"], clicks: 1,
  });
  await check("sendBeacon /events, a string", (hour) =>
    page.evaluate(([url, body]) => String(navigator.sendBeacon(url, body)), [`${url}/events`, lines(hour)]), {
    saw: "true", had: ["POST /events 200"], clicks: 2,
  });
  // A beacon sends credentials, so an answer for any origin does not let it pass (Fetch, section 4.10).
  await check("sendBeacon /events, a Blob of application/json", (hour) =>
    page.evaluate(([url, body]) => String(navigator.sendBeacon(url, new Blob([body], { type: "application/json" }))),
      [`${url}/events?blob`, `[${event(hour, "a")}]`]), {
    saw: "true", had: ["OPTIONS /events 204"], clicks: 0,
  });
  await leave(check, page, url);
}

/// Sends events while the page is left.
async function leave(check, page, url) {
  const home = page.url();
  await check("fetch with keepalive while the page is left", async (hour) => {
    await page.evaluate((url) => onLeave(() => fetch(url, { method: "POST", keepalive: true })), one(url, hour));
    await page.goto("about:blank");
    return "nothing";
  }, { saw: "nothing", had: ["POST /analytics 204"], clicks: 1 });
  await page.goto(home);
  await check("fetch with keepalive of a JSON array while the page is left", async (hour) => {
    await page.evaluate(([url, body]) => {
      const headers = { "content-type": "application/json" };
      onLeave(() => fetch(url, { method: "POST", keepalive: true, headers, body }));
    }, [`${url}/events?leave`, `[${event(hour, "a")}]`]);
    await page.goto("about:blank");
    return "nothing";
  }, { saw: "nothing", had: ["OPTIONS /events 204", "POST /events 200"], clicks: 1 });
  await page.goto(home);
  await check("sendBeacon while the page is closed", async (hour) => {
    const closing = await page.context().newPage();
    await closing.goto(home);
    await closing.evaluate(([url, body]) => onLeave(() => navigator.sendBeacon(url, body)), [`${url}/events`, lines(hour)]);
    await closing.close({ runBeforeUnload: true });
    return "nothing";
  }, { saw: "nothing", had: ["POST /events 200"], clicks: 2 });
}

module.exports = { events, one, lines };
