// What pages with charts have in common: the group follows the address, and the toolbar changes it.
import {Chart} from './chart.js';
import {ChartGroup} from './chart_group.js';
import {pickCurves} from './curves.js';
import {fill, h} from './dom.js';
import * as format from './format.js';
import {at, go, param, setView} from './navigation.js';
import {kWidths} from './smooth.js';
import {runSpot} from './swatch.js';
import {formatLocation, pageLocation, parseRange} from './url_state.js';

// The runs laid over the one that is looked at, from the address.
export const overlaid = () => param('with').split(',').filter((id) => id && id !== at().run);

export class ChartPage {
  constructor({onCrosshair} = {}) {
    this.charts = new Map();  // by the id of their spec
    this.group = new ChartGroup({
      onZoom: (range) => setView(
        {zoom: range && range.map((x) => Math.round(x * 100) / 100).join('-')}, {replace: true}),
      onPick: ({metric, step, run, spec}) => {
        if (param('phase', 'train') !== 'train') return;
        const {phase} = spec;
        if (phase) go(formatLocation({...pageLocation(at(), 'samples', {phase, step}), run}));
        else go(formatLocation({...pageLocation(at(), 'why', {metric, step}), run}));
      },
      onCrosshair,
    });
    this.group.onLog = (id) => {
      const logs = new Set(param('log').split(',').filter(Boolean));
      if (logs.has('all')) logs.clear();
      else if (!logs.delete(id)) logs.add(id);
      setView({log: [...logs].join(',')}, {replace: true});
    };
  }

  // The chart of a spec with the curves of `runs`, or null where the first has none.
  show(spec, runs, phase) {
    const sources = runs.flatMap((run) => {
      const curves = pickCurves(spec, run, phase);
      return curves ? [{run: run.id, ...curves}] : [];
    });
    if (!sources.length || sources[0].run !== runs[0].id) return null;
    if (!this.charts.has(spec.id)) this.charts.set(spec.id, new Chart(spec, this.group));
    const chart = this.charts.get(spec.id);
    chart.setSources(sources);
    return chart;
  }

  clear() {
    for (const chart of this.charts.values()) this.group.remove(chart);
    this.charts.clear();
  }

  // Takes zoom, smoothing and axes from the address.
  follow(events) {
    const logs = new Set(param('log').split(',').filter(Boolean));
    this.group.set({
      zoom: parseRange(param('zoom')),
      smoothing: Number(param('smooth')) || 0,
      logs,
      markedStep: param('step') ? Number(param('step')) : null,
      events,
    });
    for (const {element, spec} of this.charts.values()) {
      element.querySelector('.log')?.setAttribute('aria-pressed',
        String(logs.has('all') || logs.has(spec.id)));
    }
  }

  close() {
    this.clear();
    this.group.close();
  }

  keys() {
    return [
      {key: 's', label: 'Smooth more', run: () => changeSmoothing(1)},
      {key: 'S', label: 'Smooth less', run: () => changeSmoothing(-1)},
      {key: 'l', label: 'Log axes', run: toggleLog},
      {key: ['+', '='], label: 'Zoom in', run: () => this.group.zoomBy(0.5)},
      {key: '-', label: 'Zoom out', run: () => this.group.zoomBy(2)},
      {key: '0', label: 'Show all steps', run: () => this.group.zoomTo(null)},
      {key: ['ArrowLeft', 'ArrowRight'], label: 'On a chart: read values (with Shift by 10)'},
      {key: 'Enter', label: 'On a chart: why this value?'},
    ];
  }
}

const widthIndex = () => {
  const width = Number(param('smooth')) || 0;
  const i = kWidths.findIndex((one) => one >= width);
  return i < 0 ? kWidths.length - 1 : i;
};

function changeSmoothing(by) {
  const i = Math.min(Math.max(widthIndex() + by, 0), kWidths.length - 1);
  setView({smooth: kWidths[i] || null}, {replace: true});
}

const toggleLog = () => setView({log: param('log') ? null : 'all'}, {replace: true});

// Smoothing, axes, zoom and the runs to lay over. `readout` shows what is at the crosshair.
export function chartToolbar(page, session, {readout, more = [], overlays = true} = {}) {
  const width = h('output', {for: 'smooth'});
  const slider = h('input', {type: 'range', id: 'smooth', min: 0, max: kWidths.length - 1, step: 1,
    oninput: (event) => setView({smooth: kWidths[event.target.value] || null}, {replace: true})});
  const log = h('button', {type: 'button', class: 'quiet', title: 'Logarithmic axes (l)',
    onclick: toggleLog}, 'log axes');
  const zoomText = h('span', {class: 'zoom-text'});
  const all = h('button', {type: 'button', class: 'quiet', title: 'Show all steps (0)',
    onclick: () => page.group.zoomTo(null)}, 'show all');
  const others = session.runs.filter((run) => run.id !== at().run);
  const boxes = new Map(others.map((run) => [run.id, h('input', {type: 'checkbox',
    onchange: () => setView({with: [...boxes].filter(([, box]) => box.checked)
      .map(([id]) => id).slice(0, 5).join(',')})})]));
  const key = h('span', {class: 'run-key'});
  const overlay = overlays && others.length > 0 && h('details', {class: 'menu overlay-menu'},
    h('summary', {}, 'lay runs over'),
    h('div', {class: 'menu-items'}, others.map((run) =>
      h('label', {}, boxes.get(run.id), ' ', run.id))));
  const element = h('div', {class: 'toolbar'},
    h('label', {class: 'smoothing'}, 'Smoothing', slider, width),
    log, overlay, key, h('span', {class: 'zoom'}, zoomText, all), more, readout);
  return {
    element,
    update() {
      const i = widthIndex();
      slider.value = i;
      width.textContent = kWidths[i] ? `${kWidths[i]} steps` : 'off';
      slider.setAttribute('aria-valuetext', width.textContent);
      log.setAttribute('aria-pressed', String(param('log') !== ''));
      const zoom = page.group.zoom;
      zoomText.textContent = zoom
        ? `Steps ${format.number(Math.round(zoom[0]))} to ${format.number(Math.round(zoom[1]))}`
        : 'All steps';
      all.hidden = !zoom;
      const chosen = new Set(overlaid());
      fill(key, chosen.size > 0 && [at().run, ...chosen].map((id, i) => h('span', {},
        runSpot(i), id)));
      for (const [id, box] of boxes) box.checked = chosen.has(id);
    },
  };
}

