// Finding connections, those that are here and those that have ended, and sessions: a page at a time, never all.

import { $, Table, bytes, className, clock, column, count, el, mark, micros, moment, plural, say, setWord, span, stateColumn, visible, whoColumn, words, show } from './dom.js';
import { act, ask } from './api.js';

const PAGE = 25;

/** Pages of a list: where each begins, so that one can go back. */
class Pager {
  constructor(place, load) {
    this.starts = [null];
    this.next = null;
    this.back = el('button', { type: 'button' }, 'Back');
    this.on = el('button', { type: 'button' }, 'Next');
    this.again = el('button', { type: 'button' }, 'Refresh');
    this.back.addEventListener('click', () => { this.starts.pop(); load(); });
    this.on.addEventListener('click', () => { this.starts.push(this.next); load(); });
    this.again.addEventListener('click', () => load());
    place.replaceChildren(this.back, ' ', this.on, ' ', this.again);
    this.place = place;
    this.told(null, false);
  }

  get start() { return this.starts.at(-1); }
  get first() { return (this.starts.length - 1) * PAGE + 1; }
  reset() { this.starts = [null]; }

  told(next, shown) {
    this.next = next;
    const focused = document.activeElement;
    this.back.disabled = this.starts.length === 1;
    this.on.disabled = next === null;
    show(this.place, shown);
    // A button that can no longer be pressed gives the focus to one that can.
    if ((focused === this.back || focused === this.on) && focused.disabled) this.again.focus();
  }
}

let open, announce, toast;
const find = {}, sessions = {}, blocks = { count: 0, asked: 0 };
const form = $('find-form');
const kind = () => form.elements.kind.value;

export function build(how) {
  ({ open, announce, toast } = how);
  find.pager = new Pager($('found-pager'), load);
  form.addEventListener('submit', event => {
    event.preventDefault();
    const id = form.elements.id.value.trim();
    if (id) return open(id);
    find.pager.reset();
    load();
  });
  form.addEventListener('change', event => { if (event.target.name === 'kind') fields(); });
  form.addEventListener('reset', () => setTimeout(() => { fields(); find.pager.reset(); load(); }));
  sessions.pager = new Pager($('sessions-pager'), loadSessions);
  sessions.table = new Table($('sessions-rows'), 'Sessions', [
    {
      head: 'User', cls: 'identity',
      make(cell) {
        const button = el('button', { type: 'button', class: 'identity' }, el('bdi', { class: 'user' }));
        button.addEventListener('click', () => connectedOf(button.dataset.user));
        cell.append(button);
      },
      fill(cell, session) {
        cell.firstChild.dataset.user = session.user;
        setWord(cell.firstChild.firstChild, session.user);
      },
    },
    { head: 'Glasses', cls: 'places', fill: (cell, session) => cell.replaceChildren(session.glasses ? placeOf(session.glasses) : 'never here') },
    {
      head: 'Apps', cls: 'places',
      fill(cell, session) {
        const named = session.apps.slice(0, 4).map(app => placeOf(app, app.package));
        const more = session.apps_total - named.length;
        cell.replaceChildren(...named, more > 0 ? el('span', {}, `and ${more} more`) : named.length ? '' : '–');
      },
    },
    column('Kept for them', 'n some', kept),
  ]);
  blocks.pager = new Pager($('blocks-pager'), loadBlocks);
  blocks.table = new Table($('blocks-rows'), 'Blocked identities', [
    {
      head: 'Identity', cls: 'identity',
      make: cell => cell.append(el('bdi', { class: 'user' }), el('bdi', { class: 'package' })),
      fill(cell, block) {
        setWord(cell.firstChild, block.user);
        setWord(cell.lastChild, detail(block));
      },
    },
    column('Refused for', 'n', block => span(block.left_ms)),
    {
      head: el('span', { class: 'hidden' }, 'Act'), cls: 'n',
      make(cell) {
        const button = el('button', { type: 'button' });
        button.addEventListener('click', () => lift(button));
        cell.append(button);
      },
      fill(cell, block) {
        const button = cell.firstChild;
        lifts.set(button, block);
        mark(button, 'aria-disabled', false);
        say(button, 'Let in again');
        mark(button, 'aria-label', `Let in again: ${visible(block.user)}${detail(block) ? `, ${visible(detail(block))}` : ''}`);
      },
    },
  ], true);
  fields();
}

function kept(session) {
  return session.kept_frames ? `${plural(session.kept_frames, 'frame')}, ${bytes(session.kept_bytes)}` : '–';
}

function placeOf(place, name) {
  const absent = place.absent_ms != null;
  const state = place.state ?? (absent ? 'absent' : 'closing');
  const text = absent ? `absent ${span(place.absent_ms)}, ${span(place.waits_ms)} left` : state;
  const made = el(place.id ? 'button' : 'span', { class: 'place', type: place.id ? 'button' : null });
  if (name) {
    const shown = el('bdi', { class: 'package' });
    setWord(shown, name);
    made.append(shown, ' ');
  }
  made.append(el('span', { class: 'chip', 'data-state': state }, text));
  if (place.id) made.addEventListener('click', () => open(place.id));
  return made;
}

/** Fields that ask for what this kind of connection does not have are not there. */
function fields() {
  for (const label of form.querySelectorAll('[data-of]')) {
    label.hidden = label.dataset.of !== kind();
  }
}

/** The causes that there can be are those that there were. */
export function causes(since) {
  const select = form.elements.cause;
  const names = new Set(Object.values(since.closed).flatMap(Object.keys).concat(Object.keys(since.rejected)));
  for (const name of [...names].sort()) {
    if (![...select.options].some(o => o.value === name)) select.append(el('option', { value: name }, words(name)));
  }
}

const OPEN = () => [
  whoColumn(open), column('Class', 'some', item => className(item.class)), stateColumn,
  column('Silent for', 'n', item => span(item.silence_ms)), column('Round trip', 'n mid', item => micros(item.rtt_us)),
  column('Age', 'n some', item => span(item.age_ms)), column('Unsent', 'n some', item => bytes(item.pending_bytes)),
  column('Address', 'address some', item => item.peer), column('Id', 'id some', item => item.id),
];
const CLOSED = () => [
  whoColumn(open), column('Class', 'some', item => className(item.class)), column('Ended', 'n', item => moment(item.at)),
  column('Cause', 'cause', item => words(item.cause)), column('By', 'some', item => item.by), column('Code', 'some', item => item.code),
  column('Age', 'n some', item => span(item.age_ms)), column('Address', 'address some', item => item.peer), column('Id', 'id some', item => item.id),
];

let asked = 0;
export async function load() {
  const mine = ++asked;
  const of = kind(), value = name => form.elements[name].value.trim();
  const filter = { user: form.elements.user.value, package: form.elements.package.value, address: value('address'), class: value('class'), limit: PAGE };
  say($('found-told'), 'Looking…');
  try {
    const page = of === 'open'
      ? await ask('connections', { ...filter, state: value('state'), sort: value('sort'), after: find.pager.start })
      : await ask('closed', { ...filter, cause: value('cause'), before: find.pager.start });
    if (mine !== asked) return;
    if (find.of !== of) find.table = new Table($('found'), of === 'open' ? 'Connections' : 'Ended connections', of === 'open' ? OPEN() : CLOSED());
    find.of = of;
    const rows = page.connections ?? page.closed;
    find.table.show(rows);
    show(find.table.table, rows.length > 0);
    const from = find.pager.first, range = rows.length ? `${count(from)} to ${count(from + rows.length - 1)}` : 'none';
    const told = of === 'open' ? `${range} of ${count(page.matched)}` : `${range}, newest first; ${count(page.remembered)} are remembered`;
    say($('found-told'), `${told}; as of ${clock(Date.now())}`);
    find.pager.told(page.next, true);
    if (find.spoken) announce(told);
    find.spoken = true;
  } catch (problem) {
    if (mine !== asked) return;
    say($('found-told'), visible(problem.message));
    find.pager.told(null, true);
  }
}

export async function loadSessions() {
  try {
    const page = await ask('sessions', { limit: PAGE, after: sessions.pager.start });
    sessions.table.show(page.sessions);
    show(sessions.table.table, page.sessions.length > 0);
    const from = sessions.pager.first, n = page.sessions.length;
    say($('sessions-told'), `${n ? `${count(from)} to ${count(from + n - 1)} of ${count(page.total)}, by name` : 'None'}; as of ${clock(Date.now())}`);
    sessions.pager.told(page.next, true);
  } catch (problem) {
    say($('sessions-told'), visible(problem.message));
  }
}

// ---- blocks ----

/** What tells the block of a row from others of its user: the package, or the address of a name that is not proved. */
const detail = block => block.package ?? block.address ?? '';

/** Which block the button of a row lifts. */
const lifts = new WeakMap();

/** How many there are, as the gateway says each second: the list is asked for when that has changed. */
export function blocked(count) {
  if (count === blocks.count) return;
  blocks.count = count;
  loadBlocks();
}

/** Lists them again, for the time that is left to them. */
export async function loadBlocks() {
  const mine = ++blocks.asked;
  if (!blocks.count) return showBlocks([], null);
  try {
    const page = await ask('blocks', { limit: PAGE, after: blocks.pager.start });
    if (mine !== blocks.asked) return;
    if (!page.blocks.length && blocks.pager.start !== null) {
      blocks.pager.reset();
      return loadBlocks();
    }
    showBlocks(page.blocks, page.next);
  } catch (problem) {
    if (mine !== blocks.asked) return;
    // There are some, so the section is here, with its button to ask again.
    show($('blocks'), true);
    say($('blocks-told'), visible(problem.message));
    blocks.pager.told(null, true);
  }
}

function showBlocks(rows, next) {
  const section = $('blocks');
  if (!rows.length && section.contains(document.activeElement)) $('attention-title').focus();
  show(section, rows.length > 0);
  if (!rows.length) blocks.pager.reset();
  blocks.table.show(rows);
  const from = blocks.pager.first;
  say($('blocks-told'), `${count(from)} to ${count(from + rows.length - 1)} of ${count(blocks.count)}`);
  blocks.pager.told(next, next !== null || blocks.pager.start !== null);
}

/** The row stays, so that a second press does not lift the next one; and the button, or else it would lose the focus. */
async function lift(button) {
  if (button.ariaDisabled === 'true') return;
  const block = lifts.get(button), { user, package: pkg } = block;
  mark(button, 'aria-disabled', true);
  try {
    const named = pkg == null ? { user } : { user, package: pkg };
    // The block of this row alone: the same name may be blocked at other addresses.
    await act('DELETE', `blocks?${new URLSearchParams({ ...named, address: block.address ?? 'none' })}`);
    say(button, 'Let in');
    toast(`${visible(user)}${detail(block) ? `, ${visible(detail(block))},` : ''} is let in again.`);
  } catch (problem) {
    mark(button, 'aria-disabled', false);
    toast(problem.message);
  }
}

function look(of, values) {
  form.reset();
  // The reset's own search would come later than ours.
  setTimeout(() => {
    form.elements.kind.value = of;
    for (const [name, value] of Object.entries(values)) form.elements[name].value = value ?? '';
    fields();
    find.pager.reset();
    load();
    $('find').scrollIntoView();
    form.elements.user.focus({ preventScroll: true });
  });
}
export const connectedWith = values => look('open', values);
export const connectedOf = user => look('open', { user });
export const endedOf = (user, pkg) => look('closed', { user, package: pkg });
export const endedWith = values => look('closed', values);
