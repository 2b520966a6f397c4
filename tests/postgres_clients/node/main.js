// node-postgres: parameters, prepared statements, rows as objects, pg-cursor, pg-query-stream, pg-copy-streams, its pool, cancel.
//
// It is told where the server is, and prints what it found, as check.py says.

const assert = require("node:assert/strict");
const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const { pipeline } = require("node:stream/promises");
const { Readable } = require("node:stream");
const pg = require("pg");
const Cursor = require("pg-cursor");
const QueryStream = require("pg-query-stream");
const { from: copyFrom, to: copyTo } = require("pg-copy-streams");

const env = process.env;
const TLS = env.CHECK_LOGIN === "tls";
const CA = TLS ? fs.readFileSync(env.PGSSLROOTCERT, "utf8") : undefined;
// The library reads PGSSLMODE by rules of its own.
delete env.PGSSLMODE;
const OPTIONS = { ssl: TLS ? { ca: CA } : false };
const INSERT = "INSERT INTO events (timestamp, user_id, event, page, referrer) VALUES ($1, $2, $3, $4, $5)";
const HOUR_MS = 3600 * 1000;

function events(hour, count = 8) {
  const kinds = ["click", "impression", "signup"];
  const rows = [];
  for (let i = 0; i < count; i++) {
    const at = new Date(hour.getTime() + Math.floor((i * (HOUR_MS - 1)) / count));
    rows.push([at, `user ${i % 5}`, kinds[i % 3], `/a "b" '\\${i}\tž 🐎`, i % 4 === 1 ? null : "r"]);
  }
  return rows;
}

function within(hour) {
  return `timestamp >= '${hour.toISOString()}' AND timestamp < '${new Date(hour.getTime() + HOUR_MS).toISOString()}'`;
}

function select(hour) {
  return `SELECT timestamp, user_id, event, page, referrer FROM events WHERE ${within(hour)} ORDER BY timestamp`;
}

// Asserts that an hour has these events, by GET /analytics.
async function holds(hour, rows) {
  const count = (kind) => rows.filter((row) => row[2] === kind).length;
  const expected = [new Set(rows.map((row) => row[1])).size, count("click"), count("impression"), count("signup")];
  assert.deepEqual(await counts(hour), expected, "counts by GET /analytics");
}

async function counts(hour) {
  if (env.CHECK_SERVER === "postgresql") {
    const of = (kind) => `count(*) FILTER (WHERE event = '${kind}')::int`;
    const text = `SELECT count(DISTINCT user_id)::int, ${of("click")}, ${of("impression")}, ${of("signup")} FROM events WHERE ${within(hour)}`;
    return withClient(async (client) => (await client.query({ text, rowMode: "array" })).rows[0]);
  }
  const headers = { accept: "application/json" };
  if (env.PGPASSWORD) headers.authorization = `Bearer ${env.PGPASSWORD}`;
  const found = JSON.parse(await get(`${env.CHECK_HTTP}/analytics?timestamp=${hour.getTime()}`, headers));
  return [found.unique_users, found.clicks, found.impressions, found.signup];
}

function get(url, headers) {
  return new Promise((resolve, reject) => {
    const request = (TLS ? https : http).get(url, { headers, ca: CA }, (response) => {
      let text = "";
      response.on("data", (part) => (text += part));
      response.on("end", () => (response.statusCode === 200 ? resolve(text) : reject(new Error(`${response.statusCode} ${text}`))));
    });
    request.on("error", reject);
  });
}

async function withClient(use, options = {}) {
  const client = new pg.Client({ ...OPTIONS, ...options });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

async function store(client, hour, count) {
  await client.query("BEGIN");
  for (const row of events(hour, count)) await client.query(INSERT, row);
  await client.query("COMMIT");
  return events(hour, count);
}

const values = (rows) => rows.map((row) => Object.values(row));

const checks = {
  async "parameters and rows as objects"(hour) {
    await withClient(async (client) => {
      const rows = await store(client, hour);
      assert.deepEqual(values((await client.query(select(hour))).rows), rows);
      await holds(hour, rows);
      const counted = await client.query(`SELECT event, count(*) FROM events WHERE ${within(hour)} GROUP BY event ORDER BY event`);
      assert.deepEqual(values(counted.rows), [["click", "3"], ["impression", "3"], ["signup", "2"]]);
      assert.deepEqual(Object.keys(counted.rows[0]), ["event", "count"]);
      assert.equal(counted.rows[0].count, "3");
      assert.deepEqual([counted.command, counted.rowCount], ["SELECT", 3]);
      const chosen = await client.query("SELECT user_id FROM events WHERE timestamp >= $1 AND event = ANY($2) ORDER BY timestamp LIMIT $3", [hour, ["click"], 2]);
      assert.deepEqual(values(chosen.rows), rows.filter((row) => row[2] === "click").slice(0, 2).map((row) => [row[1]]));
    });
  },

  async "an insert tells its rows"(hour) {
    await withClient(async (client) => {
      const stored = await client.query(INSERT, events(hour)[0]);
      assert.deepEqual([stored.command, stored.rowCount, stored.rows], ["INSERT", 1, []]);
    });
    await holds(hour, events(hour).slice(0, 1));
  },

  async "transactions"(hour) {
    const rows = events(hour);
    await withClient(async (client) => {
      await client.query("BEGIN");
      await client.query(INSERT, rows[0]);
      await client.query("SAVEPOINT here");
      await assert.rejects(client.query("SELECT nothing"), { code: "42703" });
      await assert.rejects(client.query("SELECT 1"), { code: "25P02" });
      await client.query("ROLLBACK TO SAVEPOINT here");
      await client.query(INSERT, rows[1]);
      await holds(hour, []);
      await client.query("COMMIT");
      await client.query("BEGIN");
      await client.query(INSERT, rows[2]);
      await client.query("ROLLBACK");
    });
    await holds(hour, rows.slice(0, 2));
  },

  // A whole number without a cast is an int8 in hourglass, which node-postgres hands out as a text.
  async "prepared statements"(hour) {
    await withClient(async (client) => {
      for (let i = 0; i < 7; i++) {
        const found = await client.query({ name: "twice", text: "SELECT $1::int4 * 2::int4 AS twice", values: [i] });
        assert.deepEqual(found.rows, [{ twice: i * 2 }]);
      }
      await assert.rejects(client.query({ name: "bad", text: "SELECT $1::int4", values: ["x"] }), { code: "22P02" });
      assert.equal((await client.query("SELECT 1::int4 AS one")).rows[0].one, 1);
    });
  },

  async "values"() {
    const cases = [
      ["true", true],
      ["7::int4", 7],
      ["9007199254740993::int8", "9007199254740993"],
      ["0.1::float8", 0.1],
      ["1.50::numeric(5, 2)", "1.50"],
      ["'ž'", "ž"],
      ["NULL", null],
      ["ARRAY[1, 2, NULL]::int4[]", [1, 2, null]],
      ["ARRAY['a b', NULL, 'c\"d']", ["a b", null, 'c"d']],
      ["TIMESTAMPTZ '2024-02-29 01:02:03.004Z'", new Date("2024-02-29T01:02:03.004Z")],
      ["'\\x00ff'::bytea", Buffer.from([0, 255])],
    ];
    const problems = [];
    await withClient(async (client) => {
      for (const binary of [false, true])
        for (const [sql, expected] of cases) {
          if (binary && ["7::int4", "true", "0.1::float8"].indexOf(sql) < 0) continue;
          try {
            const found = await client.query({ text: `SELECT ${sql} AS v`, binary, values: [] });
            assert.deepEqual(found.rows[0].v, expected);
          } catch (error) {
            problems.push(`${sql}, binary ${binary}: ${error.message}`);
          }
        }
    });
    assert.deepEqual(problems, []);
  },

  async "arrays of rows and several statements"() {
    await withClient(async (client) => {
      const found = await client.query({ text: "SELECT 1::int4 AS a, 2::int4 AS a", rowMode: "array" });
      assert.deepEqual(found.rows, [[1, 2]]);
      const both = await client.query("SELECT 1::int4 AS one; SELECT 'x' AS two");
      assert.deepEqual(both.map((one) => one.rows), [[{ one: 1 }], [{ two: "x" }]]);
      assert.deepEqual((await client.query("")).rows, []);
    });
  },

  async "pg-cursor"() {
    await withClient(async (client) => {
      const cursor = client.query(new Cursor("SELECT i FROM generate_series(1, $1::int8) t (i)", [1000]));
      const seen = [];
      for (let rows = await cursor.read(70); rows.length; rows = await cursor.read(70)) seen.push(...rows.map((row) => Number(row.i)));
      assert.deepEqual(seen, Array.from({ length: 1000 }, (_, i) => i + 1));
      await cursor.close();
      const early = client.query(new Cursor("SELECT i FROM generate_series(1, 1000000) t (i)"));
      assert.equal((await early.read(3)).length, 3);
      await early.close();
      assert.equal((await client.query("SELECT 1::int4 AS one")).rows[0].one, 1);
    });
  },

  async "pg-query-stream"(hour) {
    await withClient(async (client) => {
      const rows = await store(client, hour, 300);
      const seen = [];
      for await (const row of client.query(new QueryStream(select(hour), [], { batchSize: 40 }))) seen.push(Object.values(row));
      assert.deepEqual(seen, rows);
    });
  },

  async "copy in and out"(hour) {
    const rows = events(hour, 100).map((row) => [row[0], row[1], row[2], "p", null]);
    await withClient(async (client) => {
      const lines = rows.map((row) => `${row[0].toISOString()}\t${row[1]}\t${row[2]}\tp\t\\N\n`);
      const into = client.query(copyFrom("COPY events (timestamp, user_id, event, page, referrer) FROM STDIN"));
      await pipeline(Readable.from(lines), into);
      assert.equal(into.rowCount, 100);
      let out = "";
      const source = client.query(copyTo(`COPY (SELECT user_id FROM events WHERE ${within(hour)} ORDER BY timestamp) TO STDOUT WITH (FORMAT csv)`));
      for await (const part of source) out += part.toString();
      assert.deepEqual(out.trim().split("\n"), rows.map((row) => row[1]));
    });
    await holds(hour, rows);
  },

  async "its pool"(hour) {
    const pool = new pg.Pool({ ...OPTIONS, max: 4 });
    await Promise.all(events(hour, 30).map((row) => pool.query(INSERT, row)));
    assert.deepEqual(values((await pool.query(select(hour))).rows), events(hour, 30));
    await pool.end();
    await holds(hour, events(hour, 30));
  },

  async "time limits"() {
    await withClient(async (client) => {
      await assert.rejects(client.query("SELECT count(*) FROM generate_series(1, 10000000000)"), { code: "57014" });
      assert.equal((await client.query("SHOW statement_timeout")).rows[0].statement_timeout, "500ms");
    }, { statement_timeout: 500, application_name: "checks" });
  },

  async "a client that goes away"(hour) {
    const client = new pg.Client(OPTIONS);
    client.on("error", () => {});
    await client.connect();
    await client.query("BEGIN");
    await client.query(INSERT, events(hour)[0]);
    client.connection.stream.destroy();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await holds(hour, []);
  },

  async "wrong passwords"() {
    if (env.CHECK_LOGIN === "open") throw new Skip("no password is asked for");
    await assert.rejects(withClient(async () => {}, { password: "wrong" }), { code: "28P01" });
  },

  async "tls"() {
    if (!TLS) throw new Skip("this server has no certificate");
    await withClient(async (client) => assert.equal(client.connection.stream.encrypted, true));
    await assert.rejects(withClient(async () => {}, { ssl: false }), { severity: "FATAL" });
  },
};

class Skip extends Error {}

async function main() {
  console.log(`version ${require("pg/package.json").version} (node ${process.versions.node})`);
  let hour = new Date(env.CHECK_START);
  for (const [name, check] of Object.entries(checks)) {
    try {
      await Promise.race([check(hour), overdue()]);
      console.log(`ok ${name}`);
    } catch (error) {
      const text = (error.message || String(error)).replace(/\s+/g, " ").slice(0, 1000);
      console.log(error instanceof Skip ? `skip ${name}: ${text}` : `not ok ${name}: ${error.code ? `${error.code} ` : ""}${text}`);
    }
    hour = new Date(hour.getTime() + HOUR_MS);
  }
  process.exit(0);
}

function overdue() {
  return new Promise((_, reject) => setTimeout(() => reject(new Error("not done within 60 s")), 60000).unref());
}

main();
