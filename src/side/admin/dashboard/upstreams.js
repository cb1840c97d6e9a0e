// The upstreams behind the routes, and the drain of one of them.

import { $, Table, busy, column, count, el, mark, plural, say, setWord, show, span, visible } from './dom.js';
import { act } from './api.js';

/** The shape before each state. */
const SHAPES = {
  up: 'healthy', unresolved: 'suspect', unhealthy: 'suspect', avoided: 'suspect', unresponsive: 'firing',
  refusing: 'suspect',
  drained: 'closing', vanished: 'closing', removed: 'closing',
};

let toast, table;
/** The upstream that the button of a row is for. */
const upstreamOf = new WeakMap();
const form = $('upstream-form');
/** The upstream that the dialog is about. */
let asked;

export function build(how) {
  ({ toast } = how);
  table = new Table($('upstreams-rows'), 'Upstreams', [
    {
      head: 'Upstream', cls: 'identity',
      make: cell => cell.append(el('bdi', { class: 'user' }), el('bdi', { class: 'package' })),
      fill(cell, upstream) {
        setWord(cell.firstChild, nameOf(upstream));
        setWord(cell.lastChild, `route ${upstream.route}`);
      },
    },
    {
      head: 'State', cls: 'state',
      make: cell => cell.append(el('span', { class: 'chip' })),
      fill(cell, { state, avoided_ms, since, reason }) {
        mark(cell.firstChild, 'title', since ? `since ${since}: ${visible(reason ?? state)}` : '');
        mark(cell.firstChild, 'data-state', SHAPES[state]);
        say(cell.firstChild, avoided_ms ? `${state}, ${span(avoided_ms)} left` : state);
      },
    },
    column('Pairs', 'n', upstream => count(upstream.pairs)),
    column('Suspect', 'n mid', upstream => count(upstream.suspects)),
    column('Connecting', 'n some', upstream => count(upstream.dialing)),
    column('Weight', 'n some', upstream => count(upstream.weight)),
    {
      head: el('span', { class: 'hidden' }, 'Act'), cls: 'n',
      make(cell) {
        const button = el('button', { type: 'button' });
        button.addEventListener('click', () => (upstreamOf.get(button).state === 'drained' ? resume(button) : openDrain(button)));
        cell.append(button);
      },
      fill(cell, upstream) {
        const button = cell.firstChild, label = upstream.state === 'drained' ? 'Resume' : 'Drain…';
        upstreamOf.set(button, upstream);
        say(button, label);
        mark(button, 'aria-label', `${label} ${visible(nameOf(upstream))} of route ${visible(upstream.route)}`);
        // One without an address has no pairs, and those of one that was removed are closed already.
        show(button, upstream.address !== '' && upstream.state !== 'removed');
      },
    },
  ]);
  form.addEventListener('submit', drain);
}

const nameOf = upstream => upstream.address || upstream.url;

/** Shows the upstreams, and nothing at all if there is no route. */
export function render(upstreams, total) {
  show($('upstreams'), total > 0);
  show($('upstreams-link'), total > 0);
  table.show(upstreams);
  const up = upstreams.filter(upstream => upstream.state === 'up').length;
  say($('upstreams-told'), upstreams.length < total
    ? `${count(upstreams.length)} of ${count(total)}, those that are not up first; GET /api/v1/upstreams has more`
    : `${count(up)} of ${plural(total, 'upstream')} up`);
}

function openDrain(button) {
  asked = upstreamOf.get(button);
  form.reset();
  say(form.querySelector('.wrong'), '');
  const name = el('bdi', { class: 'named' }, visible(nameOf(asked)));
  const pairs = asked.pairs === 1 ? 'Its pair is closed' : `Its ${count(asked.pairs)} pairs are closed`;
  $('upstream-what').replaceChildren(name, ` of route ${visible(asked.route)} gets no new clients until it is resumed. ${pairs} with 1012 “upstream drained”.`);
  $('upstream-dialog').showModal();
}

async function drain(event) {
  event.preventDefault();
  const upstream = asked, done = busy(form);
  try {
    const spread_ms = Math.round(Number(form.elements.spread.value) * 1_000);
    const { pairs } = await act('POST', 'upstreams/drain', { route: upstream.route, upstream: upstream.address, spread_ms });
    $('upstream-dialog').close();
    toast(`${visible(upstream.address)} is drained; ${plural(pairs, 'pair')} ${pairs === 1 ? 'is' : 'are'} being closed.`);
  } catch (problem) {
    say(form.querySelector('.wrong'), visible(problem.message));
  } finally {
    done();
  }
}

async function resume(button) {
  if (button.ariaDisabled === 'true') return;
  const { route, address } = upstreamOf.get(button);
  mark(button, 'aria-disabled', true);
  try {
    await act('POST', 'upstreams/resume', { route, upstream: address });
    toast(`${visible(address)} gets new clients again.`);
  } catch (problem) {
    toast(problem.message);
  } finally {
    mark(button, 'aria-disabled', false);
  }
}
