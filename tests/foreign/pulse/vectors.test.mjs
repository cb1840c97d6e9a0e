// The pure parts of the client against tests/pulse_vectors.json, whose head says what the fields mean.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { sizeOf } from "../../../src/client/js/src/data.ts";
import { escape, isControl, parse, unescape } from "../../../src/client/js/src/frames.ts";
import { createInbox } from "../../../src/client/js/src/inbox.ts";
import { createOutbox } from "../../../src/client/js/src/outbox.ts";
import { createUniform, mulberry32 } from "../../../src/client/js/src/random.ts";
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
  const uniform = createUniform(mulberry32(seed));
  assert.deepEqual(values.map(() => uniform(a, b)), values);
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
    if (step.do === "push") outbox.push_("x".repeat(step.bytes), step.bytes);
    if (step.do === "send") for (let i = 0; i < step.count; i++) assert.notEqual(outbox.next_(), undefined, message);
    if (step.do === "ack") assert.equal(outbox.acknowledge_(step.rx), step.ok, message);
    if (step.do === "resume") assert.equal(outbox.acknowledge_(step.rx, true), step.ok, message);
    if (step.do === "take") assert.equal(outbox.take_().length, step.count, message);
    for (const [field, value] of [["bytes", outbox.bytes_], ["sent", outbox.sent_], ["unconfirmed", outbox.unconfirmed_]]) if (field in step && step.do !== "push") assert.equal(value(), step[field], message);
  });
});

each("inbox", (one) => {
  let at = 0;
  const inbox = createInbox(() => at);
  steps(one, (step, message) => {
    at = step.at ?? at;
    if (step.do === "count") inbox.count_(step.bytes);
    if (step.do === "tell") assert.equal(inbox.tell_(), step.rx, message);
    if ("ack_at" in step) assert.equal(inbox.ackAt_(), step.ack_at ?? Infinity, message);
  });
});

each("schedule", (one) => {
  const schedule = createSchedule(mulberry32(one.seed), () => at);
  let at = 0;
  const uniform = createUniform(mulberry32(one.seed));
  let isWaiting = false;
  steps(one, (step, message) => {
    at = step.at;
    if (step.do === "try") { schedule.tried_(); isWaiting = false; }
    if (step.do === "open") schedule.opened_();
    if (step.do === "hello") schedule.told_({ hello: { retry: step } });
    if (step.do === "proved") schedule.proved_();
    if (step.do === "active") schedule.active_();
    if (step.do === "bye") schedule.told_({ bye: step });
    if (step.do === "refused") schedule.told_({ refused: step });
    if (step.do === "offline" || step.do === "online") schedule.network_(step.do === "online", isWaiting);
    if (step.do === "late") schedule.slept_();
    if (step.do === "reopen") schedule.reopen_();
    if (step.do === "end") {
      schedule.ended_({ code: step.code, watchdog_: step.watchdog, slept_: step.slept });
      schedule.plan_(step.verdict);
      isWaiting = schedule.due_() !== Infinity;
    }
    if (!step.then) return;
    const { class: failure, n, stop, wait, not_before = 0, want_ms } = step.then;
    if (failure) assert.equal(schedule.failure_(), failure, message);
    if (n !== undefined) assert.equal(schedule.n_(), n, message);
    if (want_ms) assert.equal(schedule.wantMs_(), want_ms, message);
    const ms = Array.isArray(wait) ? uniform(...wait) : wait;
    assert.equal(schedule.due_(), stop ? Infinity : Math.max(at + ms, not_before), message);
  });
});

each("watchdog", (one) => {
  let at = 0;
  const dog = createWatchdog(one, () => at);
  steps(one, (step, message) => {
    at = step.at;
    if (step.do === "heard") dog.heard_();
    if (step.do === "ping") dog.pinged_();
    if (step.do === "big") dog.big_(step.bytes);
    if (step.do === "probe") assert.equal(dog.probe_(step.buffered), step.number, message);
    if (step.do === "answer") assert.equal(dog.answered_(step.number), step.rtt_ms, message);
    if (step.do === "timer") assert.equal(dog.fired_(step.ms), step.what, message);
    if ("due" in step) assert.equal(dog.due_(), step.due, message);
    if ("slept" in step) assert.equal(dog.slept_(), step.slept, message);
  });
});
