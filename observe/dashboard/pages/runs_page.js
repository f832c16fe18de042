// The list of runs.
import * as api from './api.js';
import {fill, h} from './dom.js';
import * as format from './format.js';
import {runLink} from './navigation.js';
import {sparkline} from './sparkline.js';

export function runsPage(root, session) {
  let shown = '';
  const body = h('tbody');
  root.append(
    h('h1', {}, 'Runs'),
    h('table', {class: 'list runs'},
      h('thead', {}, h('tr', {},
        h('th', {scope: 'col'}, 'Run'), h('th', {scope: 'col'}, 'State'),
        h('th', {scope: 'col'}, 'Reward'),
        h('th', {scope: 'col', class: 'number'}, 'now'),
        h('th', {scope: 'col', class: 'number'}, 'Steps'),
        h('th', {scope: 'col'}, 'Model'),
        h('th', {scope: 'col', class: 'number'}, 'Started'),
        h('th', {scope: 'col', class: 'number'}, 'Store'))),
      body));

  function show() {
    const text = JSON.stringify(session.runs);
    if (text === shown) return;
    shown = text;
    fill(body, session.runs.map((run) => h('tr', {},
      h('th', {scope: 'row'}, h('a', {href: runLink(run.id)}, run.id),
        h('span', {class: 'path'}, run.path)),
      h('td', {class: 'state-cell'},
        h('span', {class: `dot ${run.status}`, 'aria-hidden': 'true'}), run.text),
      h('td', {}, sparkline(run.reward, {label: `mean reward over ${run.last_step} steps`})),
      h('td', {class: 'number'}, format.number(run.reward_last)),
      h('td', {class: 'number'}, `${format.number(run.last_step)} of ${format.number(run.steps)}`),
      h('td', {}, run.model.split('/').at(-1)),
      h('td', {class: 'number'}, format.time(run.started_at)),
      h('td', {class: 'number'}, format.bytes(run.size_bytes)))));
  }

  return {
    async update() { show(); },
    async refresh() {
      session.runs = (await api.runs()).runs;
      show();
    },
    close() {},
  };
}
