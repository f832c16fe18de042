// The numbers of now in one line, each with what has become of it over 20 steps.
import {fill, h} from './dom.js';
import * as format from './format.js';
import {meanBefore} from './tables.js';

const kSpan = 20;

const kFigures = {
  train: [
    ['reward/mean', 'Reward', '', 'reward'],
    ['groups/useful', 'Mixed groups', 'share', 'solved'],
    ['length/mean', 'Length', 'tokens', 'length'],
    ['length/truncated', 'Truncated', 'share', 'truncated'],
    ['policy/entropy', 'Entropy', 'nats', 'entropy'],
    ['optimizer/gradient_norm', 'Gradient norm', '', 'gradient'],
    ['exactness/logprob_max_abs_diff', 'Exactness', 'difference', 'exactness'],
    ['speed/generate_tokens_per_s', 'Generated', 'tokens/s', 'speed'],
    ['time/step_s', 'Time a step', 's', 'phases'],
  ],
  sft: [
    ['loss/supervised', 'Loss', 'nats', 'loss'],
    ['policy/entropy', 'Entropy', 'nats', 'entropy'],
    ['optimizer/gradient_norm', 'Gradient norm', '', 'gradient'],
    ['speed/learn_tokens_per_s', 'Learnt', 'tokens/s', 'speed'],
  ],
};

export function figures(list, run, phase) {
  const {steps, metrics} = run.table(phase);
  const last = steps.length - 1;
  const key = `${phase} ${steps[last]}`;
  if (list.dataset.shown === key) return;
  list.dataset.shown = key;
  fill(list, kFigures[phase].filter(([name]) => metrics[name]).map(([name, title, unit, chart]) => {
    const now = metrics[name][last];
    const before = meanBefore(metrics[name], last, kSpan);
    const change = before === null || now === null ? null : now - before;
    const word = ['share', 's', ''].includes(unit) ? '' : ' ' + unit;
    return h('div', {},
      h('dt', {}, h('a', {href: '#', onclick: (event) => {
        event.preventDefault();
        const target = document.getElementById(`chart-${chart}`);
        target?.scrollIntoView({block: 'center'});
        target?.focus({preventScroll: true});
      }}, title)),
      h('dd', {}, h('b', {}, format.value(now, unit)), word),
      h('dd', {class: 'change', title: `against the mean of the ${kSpan} steps before`},
        change === null ? '' : change === 0 ? 'as before' : format.change(change, unit)));
  }));
}
