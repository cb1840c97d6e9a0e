// Waiting for something to become true, always with a deadline.

import { setTimeout as sleep } from "node:timers/promises";

/** The first truthy value of `condition`, which is asked every 10 ms; an error that says `what` after `ms`. */
export async function until(ms, what, condition) {
  const deadline = performance.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${typeof what === "function" ? what() : what}`);
    await sleep(10);
  }
}

/** Holds for `ms`: an error that says `what` as soon as `condition` is not true. */
export async function throughout(ms, what, condition) {
  const deadline = performance.now() + ms;
  while (performance.now() < deadline) {
    if (!(await condition())) throw new Error(`not throughout ${ms} ms: ${typeof what === "function" ? what() : what}`);
    await sleep(20);
  }
}

export { sleep };
