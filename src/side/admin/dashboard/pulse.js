// The sessions that outlive their connections: how many, and those that wait for their clients.

import { $, Table, column, count, el, mark, plural, say, setWord, show, span, visible } from './dom.js';
import { act } from './api.js';

let toast, table;
/** The session that the button of a row is for. */
const sessionOf = new WeakMap();

export function build(how) {
  ({ toast } = how);
  table = new Table($('pulse-rows'), 'Sessions that wait for their clients', [
    {
      head: 'Session', cls: 'identity',
      make: cell => cell.append(el('bdi', { class: 'user' }), el('bdi', { class: 'package' })),
      fill(cell, { session, user, route, upstream }) {
        setWord(cell.firstChild, user ?? `session ${session}`);
        setWord(cell.lastChild, upstream ? `route ${route}, ${upstream}` : `route ${route}`);
      },
    },
    column('Waits', 'n', ({ held_ms }) => span(held_ms)),
    column('Left', 'n mid', ({ left_ms }) => span(left_ms)),
    column('Kept', 'n some', ({ kept_messages, kept_bytes }) => `${count(kept_messages)}, ${count(kept_bytes)} B`),
    column('Resumed', 'n some', ({ resumes }) => count(resumes)),
    {
      head: el('span', { class: 'hidden' }, 'Act'), cls: 'n',
      make(cell) {
        const button = el('button', { type: 'button' }, 'End');
        button.addEventListener('click', () => end(button));
        cell.append(button);
      },
      fill(cell, session) {
        sessionOf.set(cell.firstChild, session);
        mark(cell.firstChild, 'aria-label', `End session ${session.session} of route ${visible(session.route)}`);
      },
    },
  ], true);
}

/** Shows the sessions, and nothing at all if no route has pulse. */
export function render(pulse) {
  show($('pulse'), pulse !== null);
  show($('pulse-link'), pulse !== null);
  if (pulse === null) return;
  table.show(pulse.held_sessions);
  const more = pulse.held > pulse.held_sessions.length ? `; ${count(pulse.held_sessions.length)} of them are shown, GET /api/v1/pulse-sessions has more` : '';
  const lost = pulse.resets ? `; ${plural(pulse.resets, 'session')} could not be resumed since the start` : '';
  say($('pulse-told'), `${count(pulse.attached)} attached, ${count(pulse.held)} waiting with ${count(pulse.held_bytes)} B${lost}${more}`);
}

async function end(button) {
  if (button.ariaDisabled === 'true') return;
  const { session } = sessionOf.get(button);
  mark(button, 'aria-disabled', true);
  try {
    await act('DELETE', `pulse-sessions/${session}`);
    toast(`Session ${session} is ended.`);
  } catch (problem) {
    toast(problem.message);
  } finally {
    mark(button, 'aria-disabled', false);
  }
}
