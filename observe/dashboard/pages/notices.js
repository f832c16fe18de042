// What stands out in a run: hints of the diagnosis with their evidence, and its events.
import {isUsual} from './chart_marks.js';
import {fill, h} from './dom.js';
import * as format from './format.js';
import {pageLink} from './navigation.js';

const kEvents = 6;
const kUsualEvents = 3;

export function hintItem(hint) {
  const steps = hint.first_step === hint.last_step
    ? `step ${hint.first_step}` : `steps ${hint.first_step} to ${hint.last_step}`;
  return h('li', {class: `hint severity-${hint.severity}`},
    h('p', {}, h('strong', {}, hint.severity === 'warning' ? 'Warning' : 'Note'), ' ', hint.text),
    hint.remedy && h('p', {class: 'remedy'}, hint.remedy),
    h('p', {class: 'evidence'}, steps,
      hint.metrics.map((metric) => [' · ', h('a', {
        href: pageLink('why', {metric, step: hint.last_step})}, metric)]),
      hint.samples.slice(0, 4).map((sample) => [' · ', h('a', {
        href: pageLink('samples', {sample, step: null})}, `sample ${sample}`)])));
}

// `hints` is null while they are not here yet.
export function notices(aside, run, hints) {
  const key = JSON.stringify([hints, run.events.length]);
  if (aside.dataset.shown === key) return;
  aside.dataset.shown = key;
  const newest = [...run.events].reverse();
  const events = newest.filter((event) => !isUsual(event)).slice(0, kEvents)
    .concat(newest.filter(isUsual).slice(0, kUsualEvents))
    .sort((a, b) => b.id - a.id);
  const ofTraining = new Set(run.eventsOf('train'));
  const item = (event) => h('li', {},
    ofTraining.has(event)
      ? h('a', {class: 'event-step', href: pageLink('samples', {step: event.step})}, event.step)
      : h('span', {class: 'event-step'}, event.step || ''),
    h('span', {}, h('b', {}, event.kind.replaceAll('_', ' ')), ' ', event.message),
    h('time', {datetime: event.at}, format.time(event.at)));
  fill(aside,
    h('h3', {}, 'What stands out'),
    hints?.length ? h('ul', {class: 'hints'}, hints.map(hintItem))
      : h('p', {class: 'empty'}, hints ? 'Nothing looks wrong.' : 'Looking …'),
    run.events.length > 0 && h('h3', {}, 'Events'),
    h('ol', {class: 'events'}, events.map(item)),
    events.length < run.events.length && h('details', {},
      h('summary', {}, `All ${format.plural(run.events.length, 'event')}`),
      h('ol', {class: 'events'}, newest.slice(0, 200).map(item))));
}
