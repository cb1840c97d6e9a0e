// The page: it begins, listens, says how fresh it is, and asks for the token when it must.

import { $, mark, say, show, visible } from './dom.js';
import { Listener, ask, hasToken, onLocked, setToken } from './api.js';
import * as live from './live.js';
import * as chart from './chart.js';
import * as lists from './lists.js';
import * as detail from './detail.js';
import * as pulse from './pulse.js';
import * as verdicts from './verdicts.js';
import * as ended from './ended.js';
import * as upstreams from './upstreams.js';
import * as foresight from './foresight.js';

/** A document that is older is old: they come each second. */
const OLD = 3_000;
/** Causes come in steps of ten seconds. */
const CAUSES = 10_000;
/** A hidden page stops listening after this. */
const UNSEEN = 30_000;

// ---- what is said ----

/** For screen readers: what changed, never the figures; the latest of what comes at once. */
let waiting = 0;
function announce(text) {
  clearTimeout(waiting);
  waiting = setTimeout(() => say($('say'), text), 300);
}

let fading = 0;
function toast(text) {
  clearTimeout(fading);
  // Above whatever dialog is open.
  $('toast').hidePopover();
  $('toast').showPopover();
  say($('toast'), text);
  fading = setTimeout(() => {
    say($('toast'), '');
    $('toast').hidePopover();
  }, 8_000);
}

// ---- how fresh it is ----

let seen = 0, state = 'opening', because = '';
const link = $('link');

function fresh() {
  const age = performance.now() - seen, old = seen > 0 && (age > OLD || state !== 'live');
  mark(document.body, 'data-old', old);
  const ago = seen ? `${Math.round(age / 1_000)} s old` : 'no data yet';
  const text = state === 'live' ? (old ? `no news; figures ${ago}` : 'live') : `${because || 'connecting'}${seen ? `; figures ${ago}` : ''}`;
  mark(link, 'data-state', state === 'live' && old ? 'lost' : state);
  say($('link-text'), text);
}

function became(next, text = '') {
  const changed = state !== next;
  state = next;
  because = visible(text);
  if (changed && next === 'live' && seen) announce('The figures are live again.');
  if (changed && next === 'lost') announce('The figures are old: the connection to the gateway was lost.');
  fresh();
}

// ---- the token ----

const dialog = $('token-dialog');
function locked(wrong) {
  became('locked', 'a token is required');
  listener.stop();
  show($('enter'), true);
  if (dialog.open) return;
  say($('token-wrong'), wrong ? 'The gateway does not take that token.' : '');
  $('token').value = '';
  dialog.showModal();
}
onLocked(locked);

$('token-form').addEventListener('submit', event => {
  event.preventDefault();
  setToken($('token').value);
  dialog.close();
  start();
});
$('enter').addEventListener('click', () => dialog.showModal());
$('forget').addEventListener('click', () => {
  setToken(null);
  location.reload();
});

// ---- listening ----

const listener = new Listener({
  document(told) {
    const first = state !== 'live';
    if (first) became('live');
    seen = performance.now();
    show($('enter'), false);
    show($('forget'), hasToken());
    live.render(told);
    lists.blocked(told.blocked);
    upstreams.render(told.upstreams, told.upstreams_total);
    pulse.render(told.pulse);
    foresight.render(told.at_risk, told.cohorts);
    verdicts.render(told.verdicts);
    fresh();
    if (first) slow();
  },
  problem(problem) {
    became('lost', problem.error);
  },
  state: became,
});

let slower = 0;
async function slow() {
  clearTimeout(slower);
  try {
    const causes = await ask('causes');
    chart.render(causes);
    lists.causes(causes.since_start);
    await ended.load();
    await live.resolved();
    await lists.loadBlocks();
  } catch { /* The line at the top says so. */ }
  if (state === 'live') slower = setTimeout(slow, CAUSES);
}

function start() {
  became('opening', 'connecting');
  listener.start();
  lists.load();
  lists.loadSessions();
}

let leaving = 0;
document.addEventListener('visibilitychange', () => {
  clearTimeout(leaving);
  if (document.hidden) leaving = setTimeout(() => { listener.stop(); became('paused', 'paused'); }, UNSEEN);
  else if (state === 'paused') listener.start();
});

const how = { open: detail.open, announce, toast, endedOf: lists.endedOf, endedWith: lists.endedWith, connectedWith: lists.connectedWith, endsOf: ended.open };
live.build(how);
chart.build();
lists.build(how);
upstreams.build(how);
pulse.build(how);
verdicts.build();
foresight.build(how);
ended.build(how);
detail.build(how);
setInterval(fresh, 500);
start();
