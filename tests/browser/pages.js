// The pages of other origins: one page, under whatever name the browser asks for it.
const { once } = require("node:events");
const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const path = require("node:path");
const { TLS } = require("./hourglass.js");

const PAGE = fs.readFileSync(path.join(__dirname, "page.html"));

/// Serves the page on a free port, which it returns.
async function serve(make) {
  const server = make((_, response) => response.setHeader("content-type", "text/html").end(PAGE));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server.address().port;
}

const tls = { cert: fs.readFileSync(path.join(TLS, "two.pem")), key: fs.readFileSync(path.join(TLS, "two.key")) };

module.exports = {
  servePlain: () => serve((answer) => http.createServer(answer)),
  serveTls: () => serve((answer) => https.createServer(tls, answer)),
};
