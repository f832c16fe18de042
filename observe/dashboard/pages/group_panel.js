// All completions of a group beside one another.
import * as api from './api.js';
import {fill, h, problem} from './dom.js';
import * as format from './format.js';
import {viewLink} from './navigation.js';
import {legend, tokensView} from './tokens_view.js';
import {statusBadge} from './verdicts.js';

// Texts are asked for when their column comes into view.
export function groupPanel(run, sample, mode) {
  const {group} = sample;
  const column = (one) => {
    const text = h('div', {class: 'column-text', 'data-id': one.sample},
      h('p', {class: 'excerpt'}, one.excerpt));
    return h('section', {class: 'column', 'aria-label': `Sample ${one.index}`,
      'aria-current': one.sample === sample.sample ? 'true' : null},
    h('header', {},
      h('a', {href: viewLink({sample: one.sample, view: null})}, `sample ${one.index}`), ' ',
      statusBadge(one.status),
      h('p', {class: 'group-numbers'}, `reward ${format.plain(one.reward)} · advantage `,
        h('b', {}, format.signed(one.advantage)), ` · ${format.plural(one.tokens, 'token')}`),
      h('p', {class: 'reason'}, one.extracted && h('span', {class: 'mono'}, one.extracted), ' ',
        one.reason)),
    text);
  };
  const columns = group.samples.map(column);
  const strip = h('div', {class: 'columns', tabindex: 0, role: 'group',
    'aria-label': `The ${columns.length} completions of the group; scrolls sideways`}, columns);
  const seen = new IntersectionObserver((entries) => {
    for (const {target, isIntersecting} of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      api.sample(run.id, target.dataset.id)
        .then((whole) => fill(target, tokensView(whole, mode)))
        .catch((error) => fill(target, problem(error)));
    }
  });
  for (const node of strip.querySelectorAll('.column-text')) seen.observe(node);
  requestAnimationFrame(() => {
    const chosen = strip.querySelector('[aria-current]');
    if (chosen) strip.scrollLeft = Math.max(0, chosen.offsetLeft - strip.offsetLeft - 40);
  });
  return h('article', {class: 'group-view'},
    h('p', {class: 'question-text'}, group.task.question, ' ',
      h('span', {class: 'gold'}, group.task.gold)),
    h('p', {class: 'group-numbers'}, `${group.right} of ${group.samples.length} right · reward ` +
      `${format.number(group.reward_mean)} ± ${format.number(group.reward_std)} · temperature ` +
      format.number(group.temperature)),
    legend(sample, mode), strip);
}
