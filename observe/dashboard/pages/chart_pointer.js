// Pointer and keys on a chart: moving reads values, dragging zooms, a double click shows
// everything, a click (on a touch screen: a second tap) asks why.
import {nearest} from './thin.js';

const kDragPx = 5;

export function followPointer(chart) {
  const {plot, group, band} = chart;
  let start = null;

  const xOf = (event) => event.clientX - plot.getBoundingClientRect().left;
  const pointAt = (px) => {
    const {xs} = chart.data;
    return xs[nearest(xs, chart.graph.toDataXCoord(px))];
  };

  plot.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || !chart.graph) return;
    start = {x: xOf(event), crosshair: group.crosshair};
    plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener('pointermove', (event) => {
    if (!chart.graph) return;
    const x = xOf(event);
    const drags = start && Math.abs(x - start.x) > kDragPx;
    band.hidden = !drags;
    if (drags) {
      const area = chart.graph.getArea();
      const inside = (px) => Math.min(Math.max(px, area.x), area.x + area.w);
      const [left, right] = [start.x, x].map(inside).sort((a, b) => a - b);
      band.style.left = `${left}px`;
      band.style.width = `${right - left}px`;
    } else {
      group.setCrosshair(pointAt(x));
    }
  });
  plot.addEventListener('pointerup', (event) => {
    if (!start || !chart.graph) return;
    const x = xOf(event);
    const from = start;
    start = null;
    band.hidden = true;
    if (Math.abs(x - from.x) > kDragPx) {
      const range = [from.x, x].map((px) => chart.graph.toDataXCoord(px)).sort((a, b) => a - b);
      group.zoomTo(group.axis === 'step' ? wholeSteps(range) : range);
      return;
    }
    const step = pointAt(x);
    const again = event.pointerType === 'mouse' || step === from.crosshair;
    group.setCrosshair(step);
    if (again && event.detail < 2) {
      const rect = plot.getBoundingClientRect();
      pickLater(chart, step, event.clientY - rect.top);
    }
  });
  plot.addEventListener('pointercancel', () => {
    start = null;
    band.hidden = true;
  });
  plot.addEventListener('pointerleave', (event) => {
    if (event.pointerType === 'mouse' && !start) group.setCrosshair(null);
  });
  plot.addEventListener('dblclick', () => {
    clearTimeout(chart.pickTimer);
    group.zoomTo(null);
  });
  chart.element.addEventListener('keydown', (event) => onKey(chart, event));
  // A screen reader tells the values of the chart that is read, not of all with this crosshair.
  chart.element.addEventListener('focus', () => chart.legend.setAttribute('aria-live', 'polite'));
  chart.element.addEventListener('blur', () => {
    chart.legend.removeAttribute('aria-live');
    group.setCrosshair(null);
  });
}

// Steps that one can see the curve between.
function wholeSteps([low, high]) {
  const range = [Math.round(low), Math.round(high)];
  return range[1] > range[0] ? range : [range[0], range[0] + 1];
}

// Waits whether it becomes a double click.
function pickLater(chart, x, y) {
  if (!chart.group.onPick) return;
  clearTimeout(chart.pickTimer);
  chart.pickTimer = setTimeout(() => pick(chart, x, y), 220);
}

// The curve next to `y` at `x`; the first without a y.
function pick(chart, x, y = null) {
  const {xs, series} = chart.data;
  const i = nearest(xs, x);
  let best = null;
  let distance = Infinity;
  let stacked = 0;
  // The last curve of a stack is its lowest.
  const order = chart.spec.kind === 'stack' ? [...series].reverse() : series;
  for (const one of order) {
    const value = one.values[i];
    if (value === null || !one.metric) continue;
    stacked += value;
    const at = chart.graph.toDomYCoord(chart.spec.kind === 'stack' ? stacked - value / 2 : value);
    const away = y === null ? 0 : Math.abs(at - y);
    if (away < distance) [best, distance] = [one, away];
  }
  if (best) chart.group.onPick({metric: best.metric, step: xs[i], run: best.run, spec: chart.spec});
}

function onKey(chart, event) {
  if (event.target !== chart.element || event.ctrlKey || event.metaKey || event.altKey) return;
  const {group, data} = chart;
  const {xs} = data;
  const at = group.crosshair === null ? xs.length - 1 : nearest(xs, group.crosshair);
  const move = (to) => group.setCrosshair(xs[Math.min(Math.max(to, 0), xs.length - 1)]);
  const stride = event.shiftKey ? 10 : 1;
  const actions = {
    ArrowLeft: () => move(group.crosshair === null ? at : at - stride),
    ArrowRight: () => move(group.crosshair === null ? at : at + stride),
    Home: () => move(0),
    End: () => move(xs.length - 1),
    Enter: () => group.onPick && chart.graph && pick(chart, xs[at]),
    Escape: () => group.setCrosshair(null),
  };
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  event.stopPropagation();
  action();
}
