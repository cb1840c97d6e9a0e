// One connection, looked at again each second; and what can be done: kick, drain. Each is asked for twice.

import { $, busy, bytes, className, count, el, mark, micros, moment, plural, say, setWord, show, span, svg, visible, words } from './dom.js';
import { act, ask } from './api.js';

const AGAIN = 1_000;
const sheet = $('detail'), body = $('detail-body');
let how, shown = null, timer = 0;

export function build(given) {
  how = given;
  for (const dialog of document.querySelectorAll('dialog')) {
    for (const button of dialog.querySelectorAll('button.cancel')) button.addEventListener('click', () => dialog.close());
    // A click beside the dialog closes it.
    dialog.addEventListener('click', event => { if (event.target === dialog && dialog === sheet) dialog.close(); });
  }
  sheet.addEventListener('close', () => {
    clearTimeout(timer);
    shown = null;
  });
  $('detail-ended').addEventListener('click', () => {
    const { user, package: pkg } = shown.last;
    sheet.close();
    how.endedOf(user, pkg);
  });
  $('detail-kick').addEventListener('click', openKick);
  $('kick-form').addEventListener('submit', kick);
  $('drain').addEventListener('click', openDrain);
  $('drain-form').addEventListener('submit', drain);
  $('drain-form').addEventListener('change', drainFields);
}

// ---- one connection ----

export function open(id) {
  clearTimeout(timer);
  shown = { id, last: null };
  body.replaceChildren(el('p', { class: 'none' }, 'Looking…'));
  setWord($('detail-name'), id);
  say($('detail-sub'), '');
  delete $('detail-sub').dataset.of;
  show($('detail-kick'), false);
  show($('detail-ended'), false);
  if (!sheet.open) sheet.showModal();
  $('detail-name').focus();
  refresh(shown);
}

async function refresh(mine) {
  let again = true;
  try {
    const detail = await ask(`connections/${mine.id}`);
    if (shown !== mine) return;
    living(detail);
  } catch (problem) {
    if (shown !== mine) return;
    if (problem.status === 404) again = !(await ended(mine));
    else stale(problem);
    if (problem.status === 400) again = false;
  }
  if (shown === mine && again) timer = setTimeout(() => refresh(mine), AGAIN);
}

function stale(problem) {
  let note = body.querySelector('.wrong');
  if (!note) body.prepend(note = el('p', { class: 'wrong' }));
  say(note, `${visible(problem.message)}; what stands here is old`);
}

/** Whether there is such a record. */
async function ended(mine) {
  try {
    const record = await ask(`closed/${mine.id}`);
    if (shown !== mine) return true;
    const was = mine.last && !mine.over;
    mine.over = true;
    head(record, 'ended');
    show($('detail-kick'), false);
    layout(['facts', 'history']);
    facts(part('facts'), [
      ['Ended', moment(record.at)], ['Cause', words(record.cause), 'cause'], ['By', record.by], ['Code', record.code], ['Reason', visible(record.reason) || '–'],
      ['Closing handshake', record.clean ? 'completed' : 'not completed'],
      ['Lived for', span(record.age_ms)], ['Silent at the end', span(record.silence_ms)], ['Pings unanswered', count(record.unanswered)],
      ...common(record),
    ]);
    history(part('history'), record.history);
    if (was) how.announce(`It has ended, cause ${words(record.cause)}.`);
    return true;
  } catch (problem) {
    if (shown !== mine) return true;
    if (problem.status !== 404) return false;
    show($('detail-kick'), false);
    body.replaceChildren(el('p', { class: 'none' }, 'There is no such connection, nor is it among the last that have ended.'));
    return true;
  }
}

function head(of, state) {
  shown.last = of;
  setWord($('detail-name'), of.user ?? 'no user yet');
  const chip = el('span', { class: 'chip', 'data-state': state }, state);
  const text = [className(of.class), of.package ? visible(of.package) : null, of.id, of.peer].filter(Boolean).join(' · ');
  const sub = $('detail-sub');
  if (sub.dataset.of !== `${state} ${text}`) {
    sub.dataset.of = `${state} ${text}`;
    sub.replaceChildren(chip, ' · ', el('bdi', {}, text));
  }
  show($('detail-ended'), of.user != null);
}

const common = of => [
  ...(of.user_agent == null ? [] : [['User agent', visible(of.user_agent)]]),
  ...(of.route == null ? [] : [['Route', visible(of.route)], ['Upstream', visible(of.upstream)], ['Other leg', of.partner ?? '–']]),
  ['Round trip', `${micros(of.rtt_us)} ± ${micros(of.rttvar_us)}${of.rtt_age_ms == null ? '' : `, ${span(of.rtt_age_ms)} old`}`],
  ['Came in', `${bytes(of.bytes_in)}, ${plural(of.messages_in, 'message')}`],
  ['Went out', `${bytes(of.bytes_out)}, ${plural(of.messages_out, 'message')}`],
];

function living({ connection, explain, history: life }) {
  head(connection, connection.state);
  show($('detail-kick'), connection.state !== 'closing');
  layout(['silence', 'why', 'facts', 'history']);
  const policy = explain.policy;
  silence(part('silence'), connection, policy);
  lines(part('why'), explain.text);
  facts(part('facts'), [
    ['Here since', `${moment(connection.since)} (${span(connection.age_ms)})`],
    ['Silent for', span(connection.silence_ms)], ['Pings unanswered', count(connection.unanswered)],
    ...common(connection),
    ['Unsent', bytes(connection.pending_bytes)], ['Of an unfinished message', bytes(connection.held_bytes)],
    ['Pinged', `every ${span(policy.heartbeat_interval_ms)}, ${policy.heartbeat_mode}${policy.heartbeat_form === 'text' ? ', as a text' : ''}${policy.own ? ', a policy of its own' : ''}`],
    ['Alive by', policy.alive_by],
    ...likely(explain),
  ]);
  history(part('history'), life);
}

/** Late heartbeats, and what they say about the next ones. */
const likely = ({ late_heartbeats: late, foresight }) => (foresight == null ? [] : [
  ['Late heartbeats', `${count(late)}; ${foresight.late_of_latest_16} of the latest 16`],
  ['Risk', `${foresight.risk}, ${foresight.late_soon_percent} % miss one of the next four`],
  ...(foresight.cohort == null ? [] : [['Network', `${foresight.cohort.block}, ${plural(foresight.cohort.connections, 'connection')}${foresight.cohort.alarmed_for_ms == null ? '' : ', stopped answering'}`]]),
]);

/** Parts stay where they are from second to second. */
function layout(names) {
  if (body.dataset.parts === names.join() && body.children.length === names.length) return;
  body.dataset.parts = names.join();
  body.replaceChildren(...names.map(name => el('div', { 'data-part': name })));
}
const part = name => body.querySelector(`[data-part="${name}"]`);

function facts(place, pairs) {
  if (place.dataset.names !== pairs.map(([name]) => name).join()) {
    place.dataset.names = pairs.map(([name]) => name).join();
    place.replaceChildren(el('dl', { class: 'facts-of' }, ...pairs.map(([name, , key]) => el('div', {}, el('dt', {}, name), el('dd', { 'data-key': key })))));
  }
  const values = place.querySelectorAll('dd');
  pairs.forEach(([, value], i) => say(values[i], value));
}

function lines(place, texts) {
  if (place.dataset.n !== String(texts.length)) {
    place.dataset.n = texts.length;
    place.replaceChildren(el('ul', { class: 'why' }, ...texts.map(() => el('li'))));
  }
  place.querySelectorAll('li').forEach((li, i) => say(li, texts[i]));
}

/** How far the silence has come towards the timeout, with a tick at each interval. */
function silence(place, connection, policy) {
  if (!place.firstChild) {
    place.append(el('div', { class: 'silence' }, el('div', { class: 'rail', 'aria-hidden': true }, el('i')), el('p')));
  }
  const rail = place.querySelector('.rail'), most = policy.connection_timeout_ms;
  const ticks = Math.min(24, Math.floor(most / policy.heartbeat_interval_ms));
  if (rail.dataset.ticks !== `${ticks}`) {
    rail.dataset.ticks = ticks;
    rail.replaceChildren(rail.firstChild, ...Array.from({ length: ticks }, (_, k) => {
      const tick = el('u');
      tick.style.left = `${100 * (k + 1) * policy.heartbeat_interval_ms / most}%`;
      return tick;
    }));
  }
  rail.firstChild.style.width = `${Math.min(100, 100 * connection.silence_ms / most)}%`;
  mark(rail, 'data-state', connection.state);
  say(place.querySelector('p'), `silent for ${span(connection.silence_ms)} of the ${span(most)} after which it is stale; a ping every ${span(policy.heartbeat_interval_ms)}`);
}

function history(place, life) {
  const text = JSON.stringify(life ?? null);
  if (place.dataset.of === text) return;
  place.dataset.of = text;
  if (!life) return place.replaceChildren(el('p', { class: 'none' }, 'Nothing is kept of its life.'));
  const made = [el('h3', {}, 'Its life ', el('small', {}, `kept since ${moment(life.since)}: ${{ suspect: 'it was suspect', sample: 'a sample', asked: 'it was asked for' }[life.reason]}`))];
  if (life.rtts.length > 1) {
    const values = life.rtts.map(r => r.rtt_us), top = Math.max(...values), n = values.length;
    const points = values.map((v, i) => `${(i * 240 / (n - 1)).toFixed(1)},${(38 - 34 * v / top).toFixed(1)}`).join(' ');
    made.push(el('div', { class: 'rtts' }, svg('svg', { viewBox: '0 0 240 40', preserveAspectRatio: 'none', 'aria-hidden': 'true', class: 'trace' }, svg('polyline', { points })),
      el('p', {}, `the last ${n} round trips: ${micros(Math.min(...values))} to ${micros(top)}, now ${micros(values.at(-1))}`)));
  }
  const rows = life.changes.slice().reverse().map(change => el('tr', {}, el('td', {}, moment(change.at)),
    el('td', {}, el('span', { class: 'chip', 'data-state': change.state }, change.state)),
    el('td', { class: 'n' }, span(change.silence_ms)), el('td', { class: 'n' }, count(change.unanswered))));
  if (rows.length) {
    const heads = [['When'], ['Became'], ['Silent for', 'n'], ['Unanswered', 'n']].map(([t, cls]) => el('th', { scope: 'col', class: cls }, t));
    made.push(el('table', { 'aria-label': 'Changes of state' }, el('thead', {}, el('tr', {}, ...heads)), el('tbody', {}, ...rows)));
  } else {
    made.push(el('p', { class: 'none' }, 'It has not changed its state.'));
  }
  place.replaceChildren(...made);
}

// ---- kick ----

function openKick() {
  const { id, user, package: pkg, partner } = shown.last;
  const form = $('kick-form');
  form.reset();
  form.dataset.id = id;
  say(form.querySelector('.wrong'), '');
  const name = el('bdi', { class: 'named' }, visible(user ?? 'no user yet'));
  $('kick-identity').replaceChildren(name, pkg ? ` (${visible(pkg)})` : '', `, connection ${id}, is closed with code 4000.`
    + (partner ? ` Its pair ends: ${partner} is closed, too.` : '')
    + (pkg ? ' If it is refused afterwards it is told “App stopped” instead, and not asked back.' : ''));
  $('kick').showModal();
}

async function kick(event) {
  event.preventDefault();
  const form = event.target, dialog = $('kick');
  const wrong = form.querySelector('.wrong');
  const sent = { reason: form.elements.reason.value, block_ms: Number(form.elements.block.value) };
  const done = busy(form);
  try {
    const { blocked, partner } = await act('POST', `connections/${form.dataset.id}/kick`, sent);
    dialog.close();
    how.toast(`Kicked ${form.dataset.id}${partner ? `, and with it ${partner}` : ''}${blocked ? '; its identity is refused for now' : ''}.`);
  } catch (problem) {
    say(wrong, visible(problem.message));
  } finally {
    done();
  }
}

// ---- drain ----

function openDrain() {
  const form = $('drain-form');
  form.reset();
  say(form.querySelector('.wrong'), '');
  drainFields();
  $('drain-dialog').showModal();
}

function drainFields() {
  const form = $('drain-form'), all = form.elements.class.value === '';
  for (const label of form.querySelectorAll('[data-of]')) {
    label.hidden = (label.dataset.of === 'all') !== all;
    for (const input of label.querySelectorAll('input')) {
      input.disabled = label.hidden;
      if (input.type === 'checkbox') input.required = !label.hidden;
    }
  }
}

async function drain(event) {
  event.preventDefault();
  const form = event.target, of = form.elements.class.value;
  const ms = name => Math.round(Number(form.elements[name].value) * 1_000);
  const sent = of ? { class: of, spread_ms: ms('spread'), refuse_ms: ms('refuse') } : { class: 'all', spread_ms: ms('spread'), delay_ms: ms('delay') };
  const done = busy(form);
  try {
    const { connections } = await act('POST', 'drain', sent);
    $('drain-dialog').close();
    how.toast(`${plural(connections, 'connection')} ${connections === 1 ? 'is' : 'are'} being sent away.`);
  } catch (problem) {
    say(form.querySelector('.wrong'), visible(problem.message));
  } finally {
    done();
  }
}
