// What a client reports: valid for the gateway whatever happened, and bounded.
import assert from "node:assert/strict";
import { test } from "node:test";
import { report } from "../../../src/client/js/src/report.ts";
import { FakePulse } from "../../../src/client/js/src/testing.ts";
import { frameFault } from "./control_rules.mjs";

const { PulseSocket } = await import(process.env.PULSE_MAIN ?? "../../../src/client/js/src/index.ts");

/** Lets what was imported arrive. */
async function settle(gateway, condition) {
  for (let i = 0; i < 200 && !condition(); i++) {
    await new Promise(setImmediate);
    await gateway.advance(1);
  }
}

test("a lost connection is reported once, with the tries after it", async () => {
  const gateway = new FakePulse({ hello: { report_bytes: 2048 } });
  gateway.facts = { net: "wifi", vis: "visible" };
  const socket = new PulseSocket("ws://service/", [], { ...gateway.options, reports: true });
  const reports = () => gateway.frames.filter((frame) => frame.report).map((frame) => frame.report);
  await gateway.advance(31_000);
  gateway.cut("silence");
  gateway.isUnreachable = true;
  await gateway.advance(27_000);
  gateway.isUnreachable = false;
  gateway.facts = { net: "cell", vis: "visible" };
  await gateway.advance(5000);
  await settle(gateway, () => reports().length);
  assert.equal(reports().length, 1);
  const [{ ended: [one, ...more], rt, start }] = reports();
  assert.equal(frameFault({ report: reports()[0] }), undefined);
  assert.deepEqual([more, rt, start], [[], "node", "same"]);
  assert.deepEqual([one.conn, one.end, one.code, one.class, one.pings, one.net, one.page], ["fake.1.1", "watchdog", 1006, "blip", { seen: 2, late: 0 }, { then: "wifi", now: "cell" }, { vis: "visible" }]);
  assert.equal(one.opened_ago - one.ended_ago, 55_000);
  assert.equal(one.heard_ago - one.ended_ago, 25_000);
  assert.ok(one.tries.length > 0 && one.tries.every(({ why }) => why === "other"));
  socket.close();
});

test("reports: false tells nothing, and neither does a gateway that takes none", async () => {
  for (const [reports, report_bytes] of [[false, 2048], [true, 0]]) {
    const gateway = new FakePulse({ hello: { report_bytes } });
    const socket = new PulseSocket("ws://service/", [], { ...gateway.options, reports });
    await gateway.advance(10);
    gateway.cut();
    await gateway.advance(1000);
    await settle(gateway, () => false);
    assert.equal(gateway.frames.filter((frame) => frame.report).length, 0);
    socket.close();
  }
});

test("a report is valid and bounded whatever happened", () => {
  let seed = 1;
  const next = (below) => Math.floor(((seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32) * below);
  const classes = ["told", "idle_cut", "blip", "unreachable", undefined];
  for (let i = 0; i < 2000; i++) {
    const all = Array.from({ length: 1 + next(12) }, () => {
      const at = 1e6 - next(1e5);
      const facts = () => ({ heardAt_: at, gap_: next(1e5), pings_: { seen: next(99), late: next(9) }, rtts_: Array.from({ length: next(40) }, () => next(5000)) });
      return { wasUp_: next(2) === 1, conn: "1a2b3c4d.3.8", code: 1006, at_: at, triedAt_: at - next(9999), openedAt_: next(2) * (at - next(1e5)), isOffline_: next(9) === 0, slept_: next(5) === 0, watchdog_: next(2) === 0, class: classes[next(5)], dog_: next(2) ? { facts_: facts } : undefined, net: next(2) ? "wifi" : undefined, vis: next(2) ? "hidden" : undefined };
    });
    const most = next(2) ? 2048 : next(2048);
    const made = report(all, { now: () => 1e6, facts: () => ({ net: "cell" }) }, most);
    if (!made) continue;
    const sent = JSON.parse(JSON.stringify(made));
    assert.equal(frameFault({ report: sent }), undefined);
    assert.ok(JSON.stringify(sent).length <= most);
  }
});
