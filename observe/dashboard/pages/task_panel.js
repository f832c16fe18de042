// One task across the steps: whether it is learnt.
import * as api from './api.js';
import {h} from './dom.js';
import * as format from './format.js';
import {viewLink} from './navigation.js';
import {sparkline} from './sparkline.js';
import {chip} from './verdicts.js';

const kPhases = {train: 'step', 'eval/train': 'held out, step',
  'eval/untrained': 'untrained, step'};

export async function taskPanel(run, sample) {
  const {task, groups: all} = await api.task(run.id, sample.task.id);
  const groups = all.filter(({samples}) => samples.length > 0);
  const share = (group) => group.right / group.samples.length;
  const length = (group) =>
    group.samples.reduce((sum, one) => sum + one.tokens, 0) / group.samples.length;
  const words = groups.length < 2 ? 'It came up once so far.'
    : `It came up ${groups.length} times: ${format.percent(share(groups[0]))} right at first, ` +
      `${format.percent(share(groups.at(-1)))} at last.`;
  return h('article', {class: 'task-view'},
    h('p', {class: 'question-text'}, task.question, ' ', h('span', {class: 'gold'}, task.gold)),
    h('p', {class: 'task-words'}, words,
      groups.length > 1 && sparkline(groups.map(share),
        {width: 160, height: 28, label: 'share of right answers'})),
    h('ol', {class: 'history'}, groups.map((group) => {
      const first = group.samples[0];
      return h('li', {class: group.group === sample.group.group ? 'current' : ''},
        h('div', {class: 'history-head'},
          h('span', {class: 'history-step'},
            `${kPhases[group.phase] ?? group.phase} ${group.step}`),
          h('span', {class: 'chips'}, group.samples.map((one) => chip(one,
            viewLink({phase: group.phase === 'train' ? null : group.phase, step: group.step,
              sample: one.sample, view: null, token: null}), one.sample === sample.sample))),
          h('span', {class: 'group-numbers'}, `${group.right} of ${group.samples.length} right · ` +
            `${format.number(Math.round(length(group)))} tokens`)),
        h('p', {class: 'excerpt', title: `sample ${first.index}`}, first.excerpt));
    })));
}
