// A server on a scratch store and free ports, and what it says of itself.
const { spawn, execFileSync } = require("node:child_process");
const { once } = require("node:events");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const readline = require("node:readline");

const TLS = path.join(__dirname, "../tls");
const COUNTED = /^hourglass_http_requests_total\{route="([^"]*)",method="([^"]*)",status="([^"]*)"\} (\d+)$/gm;

/// Routes that browsers, or this script, ask on their own account.
const ASIDE = new Set(["/metrics", "/docs/NAME", "other"]);

class Hourglass {
  /// Starts a server; `options` are those of `hourglass serve`.
  static async start(binary, options = []) {
    const server = new Hourglass();
    server.binary = binary;
    server.scheme = options.includes("--tls-cert") ? "https" : "http";
    server.directory = fs.mkdtempSync(path.join(os.tmpdir(), "hourglass-browser-"));
    const args = ["serve", "--data-dir", server.store(), "--listen", "127.0.0.1:0", "--log-format", "json"];
    const stdio = ["ignore", "pipe", fs.openSync(path.join(server.directory, "log"), "w")];
    server.process = spawn(binary, [...args, ...options], { stdio });
    const ended = once(server.process, "exit").then(() => {
      throw new Error(`the server has ended: ${fs.readFileSync(path.join(server.directory, "log"))}`);
    });
    const [line] = await Promise.race([once(readline.createInterface(server.process.stdout), "line"), ended]);
    ended.catch(() => {});
    const ready = JSON.parse(line);
    server.port = ready.address.split(":").pop();
    server.ingestPort = ready.ingest_address?.split(":").pop();
    return server;
  }

  static tls() {
    return ["--tls-cert", path.join(TLS, "one.pem"), "--tls-key", path.join(TLS, "one.key")];
  }

  store() {
    return path.join(this.directory, "store");
  }

  /// Returns the server's URL under a name of its host.
  at(host) {
    return `${this.scheme}://${host}:${this.port}`;
  }

  /// Makes a token; the first one of the role `admin` is used to ask for the server's numbers.
  token(role, ...options) {
    const args = ["token", "create", "--role", role, ...options, "--data-dir", this.store()];
    const token = execFileSync(this.binary, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    if (role === "admin") this.admin ??= token;
    return token;
  }

  async get(target) {
    const headers = { accept: "application/json" };
    if (this.admin) headers.authorization = `Bearer ${this.admin}`;
    const response = await fetch(this.at("127.0.0.1") + target, { headers });
    if (!response.ok) throw new Error(`GET ${target}: ${response.status} ${await response.text()}`);
    return response;
  }

  /// Returns the clicks of an hour.
  async clicks(hour) {
    return (await (await this.get(`/analytics?timestamp=${hour}`)).json()).clicks;
  }

  /// Returns how many requests were answered, by their method, route and status.
  async answered() {
    const text = await (await this.get("/metrics")).text();
    const answered = new Map();
    for (const [, route, method, status, count] of text.matchAll(COUNTED)) {
      if (!ASIDE.has(route)) answered.set(`${method} ${route} ${status}`, Number(count));
    }
    return answered;
  }

  /// Returns the value of a metric without labels.
  async metric(name) {
    const text = await (await this.get("/metrics")).text();
    return Number(text.match(new RegExp(`^${name} (\\S+)$`, "m"))[1]);
  }

  async stop() {
    if (this.process.exitCode === null) {
      const ended = once(this.process, "exit");
      this.process.kill();
      await ended;
    }
    fs.rmSync(this.directory, { recursive: true });
  }
}

module.exports = { Hourglass, TLS };
