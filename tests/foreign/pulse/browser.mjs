// A headless Chromium that loads a page of ours, and what the page says.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"];

/** Serves `files` (by name), and runs `page` in Chromium until it posts a result. */
export async function inChromium(page, files, options, control, limitMs) {
  let finish;
  const result = new Promise((resolve) => { finish = resolve; });
  const server = createServer((request, response) => {
    const send = (type, body) => response.writeHead(200, { "Content-Type": type, "Cache-Control": "no-store" }).end(body);
    const name = request.url.slice(1);
    if (request.url === "/") return send("text/html", `<!doctype html><meta charset=utf-8><script type=module>${page}</script>`);
    if (request.url === "/options") return send("application/json", JSON.stringify(options));
    if (request.url === "/control") return send("text/plain", control());
    if (name in files) return send("text/javascript", readFileSync(files[name]));
    if (request.url !== "/result") return response.writeHead(404).end();
    let body = "";
    request.on("data", (data) => { body += data; });
    request.on("end", () => { send("text/plain", ""); finish(JSON.parse(body)); });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const place = mkdtempSync(join(tmpdir(), "pulse-chromium-"));
  const url = `http://127.0.0.1:${server.address().port}/`;
  const browser = spawn("chromium", [...FLAGS, `--user-data-dir=${place}`, "--remote-debugging-port=0", url], { detached: true, stdio: "ignore" });
  const ended = new Promise((done) => browser.once("exit", done));
  const limit = new Promise((resolve) => setTimeout(() => resolve({ error: `no result within ${limitMs} ms` }), limitMs).unref());
  const said = await Promise.race([result, limit]);
  process.kill(-browser.pid, "SIGKILL");
  await ended;
  server.close();
  server.closeAllConnections();
  rmSync(place, { recursive: true, force: true, maxRetries: 5 });
  return said;
}
