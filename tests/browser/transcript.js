// The transcript: a line for each check.
const PATIENCE_MS = 5000;
/// Time in which nothing more must come.
const QUIET_MS = 100;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/// Returns what was answered since `before`, such as "POST /events 200", sorted.
async function since(server, before) {
  const answers = [];
  for (const [what, count] of await server.answered()) {
    answers.push(...Array(count - (before.get(what) ?? 0)).fill(what));
  }
  return answers.sort().join(", ") || "no request";
}

class Transcript {
  checks = 0;
  differences = 0;
  #hour = Date.UTC(2001, 0, 1);

  /// Does `act`, which gets an hour of its own and returns what the page saw. `expected` has that
  /// (`saw`), the answers of the server (`had`), and, if they matter, the clicks that it stored.
  async check(server, what, act, expected) {
    const hour = (this.#hour += 3_600_000);
    const before = await server.answered();
    const saw = await act(hour).catch((error) => `${error}`.split("\n")[0]);
    const had = [...expected.had].sort().join(", ") || "no request";
    for (const end = Date.now() + PATIENCE_MS; (await since(server, before)) !== had && Date.now() < end; ) await sleep(25);
    await sleep(QUIET_MS);
    const has = { saw, had: await since(server, before) };
    if ("clicks" in expected) has.clicks = await server.clicks(hour);
    this.#tell(what, has, { ...expected, had });
  }

  #tell(what, has, expected) {
    const differs = (name) => (expected[name] instanceof RegExp ? !expected[name].test(has[name]) : expected[name] !== has[name]);
    const wrong = Object.keys(expected).filter(differs);
    const stored = "clicks" in has ? `, ${has.clicks} stored` : "";
    console.log(`${wrong.length ? "WRONG" : "ok   "} ${what}: saw ${has.saw} | server: ${has.had}${stored}`);
    for (const name of wrong) console.log(`      expected ${name}: ${expected[name]}`);
    this.checks += 1;
    this.differences += wrong.length ? 1 : 0;
  }
}

module.exports = { Transcript };
