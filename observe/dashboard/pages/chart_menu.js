// What one can do with a chart: a log axis, downloads.
import {saveCsv, saveJson, savePng, saveSvg} from './chart_export.js';
import {h} from './dom.js';

export function chartMenu(chart) {
  const {spec, group} = chart;
  const item = (text, save) => h('button', {type: 'button', onclick: () => {
    menu.open = false;
    save(chart);
  }}, text);
  const menu = h('details', {class: 'menu'},
    h('summary', {'aria-label': `Save the chart ${spec.title}`, title: 'Save this chart'}, 'save'),
    h('div', {class: 'menu-items', role: 'group', 'aria-label': 'Save as'},
      item('CSV', saveCsv), item('JSON', saveJson), item('SVG', saveSvg), item('PNG', savePng)));
  menu.addEventListener('focusout', (event) => {
    if (!menu.contains(event.relatedTarget)) menu.open = false;
  });
  menu.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !menu.open) return;
    menu.open = false;
    menu.firstChild.focus();
  });
  const log = spec.kind === 'lines' && group.onLog && h('button', {
    type: 'button', class: 'quiet log', 'aria-pressed': 'false', title: 'Logarithmic axis',
    'aria-label': `Logarithmic axis for ${spec.title}`,
    onclick: () => group.onLog(spec.id),
  }, 'log');
  return h('span', {class: 'tools'}, log, menu);
}
