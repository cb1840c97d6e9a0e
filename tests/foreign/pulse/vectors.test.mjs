// The pure parts of the client against tests/pulse_vectors.json, whose head says what the fields mean.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { sizeOf } from "../../../src/client/js/src/data.ts";
import { escape, isControl, parse, unescape } from "../../../src/client/js/src/frames.ts";
import { createInbox } from "../../../src/client/js/src/inbox.ts";
import { createOutbox } from "../../../src/client/js/src/outbox.ts";
import { mulberry32, uniform } from "../../../src/client/js/src/random.ts";
import { createSchedule } from "../../../src/client/js/src/schedule.ts";
import { createWatchdog } from "../../../src/client/js/src/watchdog.ts";

const vectors = JSON.parse(readFileSync(new URL("../../pulse_vectors.json", import.meta.url)));
const each = (part, run) => {
  for (const one of vectors[part]) test(`${part}: ${one.name ?? JSON.stringify(one)}`, () => run(one));
};
const steps = (one, run) => one.steps.forEach((step, i) => run(step, `step ${i}: ${JSON.stringify(step)}`));

each("random", ({ seed, values }) => {
  const next = mulberry32(seed);
  assert.deepEqual(values.map(() => next()), values);
});

each("uniform", ({ seed, a, b, values }) => {
  const next = mulberry32(seed);
  assert.deepEqual(values.map(() => uniform(next, a, b)), values);
});

each("escape", ({ text, sent, control }) => {
  assert.equal(isControl(sent), control !== undefined);
  if (control !== undefined) return assert.equal(sent.slice(1), control);
  assert.equal(escape(text), sent);
  assert.equal(unescape(sent), text);
});

each("size", ({ text, bytes }) => assert.equal(sizeOf(text), bytes));

for (const json of vectors.frames.valid) test(`frames: ${json.slice(0, 60)} is valid`, () => assert.deepEqual(parse(`\x01${json}`), JSON.parse(json)));
for (const json of vectors.frames.invalid) test(`frames: ${json.slice(0, 60)} is invalid`, () => assert.equal(parse(`\x01${json}`), undefined));

each("outbox", (one) => {
  const outbox = createOutbox();
  steps(one, (step, message) => {
    if (step.do === "push") outbox.push("x".repeat(step.bytes), step.bytes);
    if (step.do === "send") for (let i = 0; i < step.count; i++) assert.notEqual(outbox.next(), undefined, message);
    if (step.do === "ack") assert.equal(outbox.acknowledge(step.rx), step.ok, message);
    if (step.do === "resume") assert.equal(outbox.resume(step.rx), step.ok, message);
    if (step.do === "take") assert.equal(outbox.take().length, step.count, message);
    for (const field of ["bytes", "sent", "unconfirmed"]) if (field in step && step.do !== "push") assert.equal(outbox[field](), step[field], message);
  });
});

each("inbox", (one) => {
  let at = 0;
  const inbox = createInbox(() => at);
  steps(one, (step, message) => {
    at = step.at ?? at;
    if (step.do === "count") inbox.count(step.bytes);
    if (step.do === "tell") assert.equal(inbox.tell(), step.rx, message);
    if ("ack_at" in step) assert.equal(inbox.ackAt(), step.ack_at ?? Infinity, message);
  });
});

each("schedule", (one) => {
  const schedule = createSchedule(mulberry32(one.seed), () => at);
  let at = 0;
  const numbers = mulberry32(one.seed);
  let isWaiting = false;
  steps(one, (step, message) => {
    at = step.at;
    if (step.do === "try") { schedule.tried(); isWaiting = false; }
    if (step.do === "open") schedule.opened();
    if (step.do === "hello") schedule.promised(step.first_ms, step.max_ms);
    if (step.do === "proved") schedule.proved();
    if (step.do === "active") schedule.active();
    if (step.do === "bye") schedule.told(step.retry_ms, step.spread_ms ?? 0);
    if (step.do === "refused") schedule.refused(step.status, step.retry_ms ?? 0);
    if (step.do === "offline" || step.do === "online") schedule.network(step.do === "online", isWaiting);
    if (step.do === "late") schedule.slept();
    if (step.do === "reopen") schedule.reopen();
    if (step.do === "end") {
      schedule.ended(step);
      schedule.plan(step.verdict);
      isWaiting = schedule.due() !== Infinity;
    }
    if (!step.then) return;
    const { class: failure, n, stop, wait, not_before = 0, want_ms } = step.then;
    if (failure) assert.equal(schedule.failure(), failure, message);
    if (n !== undefined) assert.equal(schedule.n(), n, message);
    if (want_ms) assert.equal(schedule.wantMs(), want_ms, message);
    const ms = Array.isArray(wait) ? uniform(numbers, ...wait) : wait;
    assert.equal(schedule.due(), stop ? Infinity : Math.max(at + ms, not_before), message);
  });
});

each("watchdog", (one) => {
  let at = 0;
  const dog = createWatchdog(one.ping_ms, one.grace_ms, () => at);
  steps(one, (step, message) => {
    at = step.at;
    if (step.do === "heard") dog.heard();
    if (step.do === "ping") dog.pinged();
    if (step.do === "big") dog.big(step.bytes);
    if (step.do === "probe") assert.equal(dog.probe(step.buffered), step.number, message);
    if (step.do === "answer") assert.equal(dog.answered(step.number), step.rtt_ms, message);
    if (step.do === "timer") assert.equal(dog.fired(step.ms), step.what, message);
    if ("due" in step) assert.equal(dog.due(), step.due, message);
    if ("slept" in step) assert.equal(dog.slept(), step.slept, message);
  });
});
