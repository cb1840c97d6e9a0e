// What ended connections had in common: those of the last 10 minutes, and those that are kept with an alert.

import { $, Table, className, column, count, el, micros, moment, plural, say, setWord, show, span, visible, whoColumn, words } from './dom.js';
import { ask } from './api.js';

const MINUTES = 10;
/** Groups of the section; the sheet of an alert has all. */
const GROUPS = 12;
const NAMES = { upstream: 'upstream', route: 'route', block: 'network block', user_agent: 'user agent', class: 'class', verdict: 'verdict', cause: 'cause', rtt: 'round trip', age: 'age' };
/** Which field of the search finds a group. */
const FIELDS = { block: 'address', class: 'class', cause: 'cause' };

let how, lately, kept, sample, asked = 0;
/** The group that the button of a row finds. */
const found = new WeakMap();
const sheet = $('alert-ends');

const percent = share => (share == null ? '–' : `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`);
const valueOf = ({ by, value }) => (by === 'class' ? className(value) : by === 'cause' || by === 'verdict' ? words(value) : visible(value));

const groupTable = place => new Table(place, 'What they had in common', [
  {
    head: 'They share', cls: 'identity',
    make(cell) {
      const button = el('button', { type: 'button', class: 'identity' }, el('bdi', { class: 'user' }), el('bdi', { class: 'package' }));
      button.addEventListener('click', () => {
        const { by, value } = found.get(button);
        if (sheet.open) sheet.close();
        how.endedWith({ [FIELDS[by]]: value });
      });
      cell.append(button);
    },
    fill(cell, group) {
      const button = cell.firstChild;
      found.set(button, group);
      button.disabled = !FIELDS[group.by];
      setWord(button.firstChild, valueOf(group));
      setWord(button.lastChild, NAMES[group.by] ?? group.by);
    },
  },
  column('Ended', 'n some', group => count(group.ended)),
  column('Of the ended', 'n', group => percent(group.share)),
  column('Of the open', 'n', group => percent(group.share_of_open)),
  column('In the hour before', 'n some', group => percent(group.share_before)),
], true);

export function build(given) {
  how = given;
  lately = groupTable($('common-rows'));
  kept = groupTable($('alert-ends-groups'));
  sample = new Table($('alert-ends-rows'), 'Some of the ended connections', [
    whoColumn(how.open), column('Class', 'some', end => className(end.class)), column('Ended', 'n', end => moment(end.at)),
    column('Cause', 'cause', end => words(end.cause)), column('Verdict', 'some', end => (end.verdict ? words(end.verdict) : '–')),
    column('Age', 'n some', end => span(end.age_ms)), column('Round trip', 'n some', end => micros(end.rtt_us)), column('Address', 'address some', end => end.peer),
  ]);
}

function told({ ended, in_common: common, identities: lost, open_sampled: open }) {
  const users = lost.affected
    ? `; ${plural(lost.affected, 'identity', 'identities')} lost, ${count(lost.returned_within_minute)} came back within a minute, ${count(lost.returned_later)} later, ${count(lost.missing)} missing`
    : '';
  const beside = open == null ? 'the open ones are not known' : `beside ${count(open)} of the open ones`;
  return `${common ? `${visible(common)}. ` : ''}${plural(ended, 'connection')} ended, ${beside}${users}`;
}

/** Asks what the last minutes had in common; the page does so now and again. */
export async function load() {
  const summary = await ask('closed/summary', { minutes: MINUTES });
  const any = summary.ended > 0;
  show($('common'), any);
  show($('common-link'), any);
  if (!any) return;
  say($('common-told'), `${told(summary)}; in the last ${MINUTES} min`);
  lately.show(summary.groups.slice(0, GROUPS));
}

/** Opens what is kept with an alert. */
export async function open(alert) {
  const mine = ++asked;
  say($('alert-ends-name'), words(alert.name));
  say($('alert-ends-sub'), visible(alert.summary));
  say($('alert-ends-told'), 'Looking…');
  kept.show([]);
  sample.show([]);
  if (!sheet.open) sheet.showModal();
  $('alert-ends-name').focus();
  try {
    const { ends } = await ask(`alerts/${alert.id}`);
    if (mine !== asked) return;
    if (!ends) return say($('alert-ends-told'), 'Its ends are not kept any more.');
    say($('alert-ends-told'), `${told(ends)}; from ${moment(ends.from)} to ${moment(ends.until)}; ${plural(ends.sample.length, 'connection')} below`);
    kept.show(ends.groups);
    sample.show(ends.sample);
  } catch (problem) {
    if (mine === asked) say($('alert-ends-told'), visible(problem.message));
  }
}
