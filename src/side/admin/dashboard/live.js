// The figures that change by the second.

import { CLASSES } from './classes.js';
import { $, Table, clock, column, count, el, few, mark, micros, plural, say, setWord, show, span, stateColumn, svg, visible, whoColumn, className } from './dom.js';
import { act, ask } from './api.js';

const STATES = ['healthy', 'suspect', 'closing'];
/** From so many percent of the places on, they are nearly all taken. */
const NEAR = 90;
/** Points of a trace: two minutes. */
const TRACE = 120;

let open = () => {};
let announce = () => {};
let toast = () => {};
let endedOf = () => {};
let endsOf = () => {};
const parts = {};
/** The connection that the button of a row names. */
const named = new WeakMap();

// ---- what there is ----

function dial(name) {
  const big = el('b', { class: 'big', id: `now-${name}` }, '–');
  const bar = el('div', { class: 'bar-of', 'aria-hidden': true });
  const segments = STATES.map(state => {
    const segment = el('i', { 'data-state': state, hidden: true });
    bar.append(segment);
    return segment;
  });
  const list = el('dl', { class: 'states' });
  const numbers = Object.fromEntries([...STATES, 'absent'].map(state => {
    const number = el('dd', { id: `now-${name}-${state}` }, '–');
    list.append(el('div', {}, el('dt', { class: 'chip', 'data-state': state }, state), number));
    return [state, number];
  }));
  $('dials').append(el('div', { class: 'dial' }, el('h3', {}, CLASSES[name]), big, bar, list));
  return { big, segments, numbers };
}

function capacity() {
  const big = el('b', { class: 'big', id: 'now-capacity' }, '–');
  const fill = el('i', { 'data-state': 'healthy', hidden: true });
  const bar = el('div', { class: 'bar-of scale', 'aria-hidden': true }, fill);
  const list = el('dl', { class: 'states' });
  const numbers = Object.fromEntries(['places', 'sessions', 'opening'].map(name => {
    const number = el('dd', { id: `now-${name}` }, '–');
    list.append(el('div', {}, el('dt', {}, name), number));
    return [name, number];
  }));
  $('dials').append(el('div', { class: 'dial' }, el('h3', {}, 'in use'), big, bar, list));
  return { big, fill, numbers };
}

/** A figure with a second one and the trace of the last two minutes. */
function gauge(name, label, second) {
  const main = el('b', { id: `gauge-${name}` }, '–');
  const other = el('span', {}, '');
  const line = svg('polyline', { points: '' });
  const trace = svg('svg', { viewBox: '0 0 120 24', preserveAspectRatio: 'none', 'aria-hidden': 'true', class: 'trace' }, line);
  const dd = el('dd', {}, main, second ? el('small', {}, ` ${second} `) : '', second ? other : '');
  $('gauges').append(el('div', {}, el('dt', {}, label), dd, trace));
  return { main, other, line, points: [] };
}

function trace(gauge, value) {
  // What was never measured is not drawn as nothing.
  if (value == null && !gauge.points.length) return;
  gauge.points.push(value ?? 0);
  if (gauge.points.length > TRACE) gauge.points.shift();
  const top = Math.max(...gauge.points, 1e-9);
  const from = TRACE - gauge.points.length;
  gauge.line.setAttribute('points', gauge.points.map((v, i) => `${from + i},${(22.5 - 20 * v / top).toFixed(1)}`).join(' '));
}

function counter(place, name, label, title) {
  const number = el('dd', { id: `relay-${name}` }, '–');
  place.append(el('div', { title }, el('dt', {}, label), number));
  return number;
}

export function build(how) {
  ({ open, announce, toast, endedOf, endsOf } = how);
  parts.dials = Object.fromEntries(Object.keys(CLASSES).map(name => [name, dial(name)]));
  parts.capacity = capacity();
  parts.gauges = {
    suspect: gauge('suspect', 'suspect, of all'),
    opened: gauge('opened', 'opened / s'),
    closed: gauge('closed', 'ended / s'),
    inward: gauge('in', 'messages in / s'),
    outward: gauge('out', 'messages out / s'),
    rtt: gauge('rtt', 'round trip, median', 'p99'),
    lateness: gauge('lateness', 'deadlines late, median', 'p99'),
    turn: gauge('turn', 'turn of the loop, median', 'p99'),
  };
  const relay = $('relay');
  parts.relay = {
    resumes: counter(relay, 'resumes', 'came back', 'connections that took a place that was lost and waited for'),
    takeovers: counter(relay, 'takeovers', 'took over', 'connections that took a place from an older connection'),
    replayed: counter(relay, 'replayed', 'replayed', 'frames that had waited and were sent to a peer that came back'),
    doubtful: counter(relay, 'doubtful', 'doubtful', 'frames written before a loss that no pong had confirmed'),
    dropped: counter(relay, 'dropped', 'dropped', 'frames for an absent peer that were given up'),
    false_deaths: counter(relay, 'false-deaths', 'false deaths', 'peers declared stale that were back within a second'),
  };
  parts.slowest = new Table($('slowest'), 'The slowest peers', [
    whoColumn(open), column('Class', 'some', item => className(item.class)), stateColumn,
    column('Round trip', 'n', item => micros(item.rtt_us)), column('±', 'n some', item => micros(item.rttvar_us)),
  ], true);
  parts.silent = new Table($('silent'), 'The most silent peers', [
    whoColumn(open), column('Class', 'some', item => className(item.class)), stateColumn,
    column('Silent for', 'n', item => span(item.silence_ms)), column('Unanswered', 'n some', item => count(item.unanswered)),
  ], true);
  parts.troubled = new Table($('troubled'), 'Peers in trouble over hours', [
    {
      head: 'Identity', cls: 'identity',
      make(cell) {
        const button = el('button', { type: 'button', class: 'identity' }, el('bdi', { class: 'user' }), el('bdi', { class: 'package' }));
        button.addEventListener('click', () => endedOf(...named.get(button)));
        cell.append(button);
      },
      fill(cell, item) {
        named.set(cell.firstChild, [item.user, item.package]);
        setWord(cell.firstChild.firstChild, item.user);
        setWord(cell.firstChild.lastChild, item.package ?? item.address ?? '');
      },
    },
    column('Pattern', 'pattern', item => visible(item.pattern)),
    column('Score', 'n', item => few(item.score)),
    column('Last', 'n some', item => clock(item.last_at)),
  ], true);
  $('troubled-more').addEventListener('click', async () => {
    try {
      parts.more = (await ask('troubled', { limit: 60 })).troubled;
      troubled(parts.more);
      $('troubled-more').hidden = true;
    } catch (problem) {
      toast(problem.message);
    }
  });
}

// ---- what it says now ----

export function render(live) {
  let suspect = 0;
  for (const [name, dial] of Object.entries(parts.dials)) {
    const states = live.connections[name] ?? {};
    const sum = STATES.reduce((n, state) => n + (states[state] ?? 0), 0);
    suspect += states.suspect ?? 0;
    say(dial.big, count(sum));
    STATES.forEach((state, i) => {
      const n = states[state] ?? 0;
      dial.segments[i].style.flexGrow = n;
      show(dial.segments[i], n > 0);
      say(dial.numbers[state], count(n));
    });
    say(dial.numbers.absent, count(live.absent?.[name]));
    for (const b of document.querySelectorAll(`[data-count="${name}"]`)) say(b, count(sum));
  }
  const { capacity, gauges } = parts;
  const used = 100 * live.places_taken / live.max_connections;
  // Only a full gateway is at 100 %.
  say(capacity.big, `${used < 10 ? used.toFixed(1) : Math.floor(used)} %`);
  mark(capacity.fill, 'data-state', live.full || used >= 100 ? 'full' : used >= NEAR ? 'near' : 'healthy');
  capacity.fill.style.width = `${Math.min(100, used)}%`;
  show(capacity.fill, used > 0);
  say(capacity.numbers.places, count(live.max_connections));
  say(capacity.numbers.sessions, count(live.sessions));
  say(capacity.numbers.opening, count(live.opening));

  say(gauges.suspect.main, count(suspect));
  trace(gauges.suspect, suspect);
  const rates = live.rates ?? {};
  for (const [gauge, value] of [[gauges.opened, rates.opened_per_s], [gauges.closed, rates.closed_per_s],
    [gauges.inward, rates.messages_in_per_s], [gauges.outward, rates.messages_out_per_s]]) {
    say(gauge.main, few(value));
    trace(gauge, value);
  }
  for (const name of ['rtt', 'lateness', 'turn']) {
    const { p50_us, p99_us } = live.last_minute[name];
    say(gauges[name].main, micros(p50_us));
    say(gauges[name].other, micros(p99_us));
    trace(gauges[name], p99_us);
  }
  for (const [name, number] of Object.entries(parts.relay)) say(number, count(live.relay?.[name]));

  parts.slowest.show(live.slowest);
  parts.silent.show(live.most_silent);
  const known = live.troubled ?? [];
  if (!parts.more) {
    troubled(known);
    show($('troubled-more'), known.length >= 10);
  }
  alerts(live.alerts ?? []);
  banner(live);
  say($('facts'), `version ${live.version}, up ${span(live.uptime_s * 1_000).replace(/\.\d/, '')}`);
}

function troubled(items) {
  show($('troubled-none'), items.length === 0);
  show($('troubled'), items.length > 0);
  parts.troubled.show(items.slice(0, 60));
}

// ---- alerts ----

const labels = alert => Object.entries(alert.labels ?? {}).map(([k, v]) => `${k} ${v}`).join(', ');
const keyOf = alert => `${alert.name} ${labels(alert)}`;
const title = alert => `${alert.name.replaceAll('_', ' ')}${labels(alert) ? `: ${labels(alert)}` : ''}`;

function alertItem(alert) {
  const when = alert.state === 'resolved' && alert.resolved_at ? `${clock(alert.since)} to ${clock(alert.resolved_at)}` : `since ${clock(alert.since)}`;
  const item = el('li', { 'data-state': alert.state });
  item.append(
    el('span', { class: 'chip', 'data-state': alert.state }, alert.state),
    el('span', { class: 'what' }, el('b', {}, visible(title(alert))), ' ', visible(alert.summary)),
    el('time', {}, when),
  );
  if (alert.action) item.append(el('span', { class: 'action' }, visible(alert.action)));
  if (alert.has_ends) {
    const button = el('button', { type: 'button' }, 'What ended…');
    button.addEventListener('click', () => endsOf(alert));
    item.append(el('span', { class: 'action' }, button));
  }
  return item;
}

function list(place, items, none) {
  const text = JSON.stringify(items);
  if (place.dataset.shown === text) return;
  place.dataset.shown = text;
  place.replaceChildren(...items.map(alertItem));
  if (!items.length) place.append(el('li', { class: 'none' }, none));
}

let firing = null;
function alerts(items) {
  list($('alerts'), items.slice(0, 60), 'None fires.');
  const now = new Map(items.filter(a => a.state === 'firing').map(a => [keyOf(a), a]));
  show($('firing'), now.size > 0);
  say($('firing'), ` ${now.size} firing`);
  document.title = now.size ? `(${now.size}) pulsegate` : 'pulsegate';
  if (firing) {
    const news = [...now].filter(([key]) => !firing.has(key)).map(([, a]) => `Firing: ${title(a)}.`);
    const over = [...firing].filter(([key]) => !now.has(key)).map(([, a]) => `No longer firing: ${title(a)}.`);
    if (news.length + over.length) announce([...news, ...over].slice(0, 4).join(' '));
  }
  firing = now;
}

/** What is over, and how the alerts leave the gateway; this asks by itself, now and again. */
export async function resolved() {
  let said;
  try {
    said = await ask('alerts');
  } catch (problem) {
    if (problem.status === 404) show($('resolved'), false);
    return;
  }
  const over = said.alerts.filter(a => a.state === 'resolved');
  show($('resolved'), over.length > 0);
  list($('resolved-list'), over.slice(0, 50), '');
  const sink = said.sink;
  if (!sink) return;
  const failing = sink.last_error ? `, ${plural(sink.failed, 'failure')}, the last: ${visible(sink.last_error)}` : '';
  say($('sink'), sink.configured ? `webhook: ${count(sink.delivered)} delivered${failing}` : 'no webhook is set');
}

// ---- what is the matter with the whole ----

function banner(live) {
  const drained = live.drained_classes ?? [];
  const text = live.draining ? 'The gateway is draining: all clients are told to go.'
    : drained.length ? `Being drained: ${drained.map(className).join(', ')}.`
    : live.accepting ? ''
    : live.full ? 'Newcomers are refused, because MAX_CONNECTIONS are here: see the line “accept restricted” in the log.'
    : 'Newcomers wait, because something has run out: see the line “accept paused” in the log.';
  if ($('banner-text').textContent === text) return;
  say($('banner-text'), text);
  show($('banner'), text !== '');
  if (text) announce(text);
  $('banner-acts').replaceChildren(...(live.draining ? [] : drained).map(name => {
    const button = el('button', { type: 'button' }, `Let ${className(name)} stay`);
    button.addEventListener('click', async () => {
      try {
        await act('DELETE', `drain/${name}`);
        toast(`${className(name)} are no longer drained.`);
      } catch (problem) {
        toast(problem.message);
      }
    });
    return button;
  }));
}
