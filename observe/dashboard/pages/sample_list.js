// The left of the samples page: a step's groups, or samples found in all steps.
import {h} from './dom.js';
import * as format from './format.js';
import {viewLink} from './navigation.js';
import {chip, statusBadge} from './verdicts.js';

const linkTo = (sample) => viewLink({sample: sample.sample, token: null});

export function groupRow(group) {
  return h('li', {class: 'group', 'data-group': group.group},
    h('div', {class: 'group-head'},
      h('span', {class: 'question', title: group.task.question}, group.task.question),
      h('span', {class: 'gold', title: 'the expected answer'}, group.task.gold)),
    h('div', {class: 'group-body'},
      h('span', {class: 'chips'}, group.samples.map((sample) => chip(sample, linkTo(sample)))),
      h('span', {class: 'group-numbers'},
        `${group.right} of ${group.samples.length} right · reward ` +
        `${format.number(group.reward_mean)}`)));
}

export function sampleRow(sample) {
  return h('li', {class: 'found'},
    h('a', {href: linkTo(sample), 'data-sample': sample.sample},
      h('span', {class: 'found-head'},
        h('span', {class: 'number'}, `step ${sample.step}`), statusBadge(sample.status),
        h('span', {class: 'number'}, `reward ${format.plain(sample.reward)}`),
        h('span', {class: 'number'}, format.plural(sample.tokens, 'token'))),
      h('span', {class: 'excerpt'}, sample.excerpt)));
}

// Marks the sample that is looked at and brings it into view.
export function mark(list, sample) {
  for (const node of list.querySelectorAll('[aria-current]')) node.removeAttribute('aria-current');
  for (const node of list.querySelectorAll('.group.current')) node.classList.remove('current');
  const node = list.querySelector(`[data-sample="${Number(sample)}"]`);
  if (!node) return;
  node.setAttribute('aria-current', 'true');
  node.closest('.group')?.classList.add('current');
  // Only the list scrolls, not the page.
  const [outer, inner] = [list, node].map((one) => one.getBoundingClientRect());
  if (inner.top < outer.top || inner.bottom > outer.bottom) {
    list.scrollTop += inner.top - outer.top - outer.height / 3;
  }
}
