// A chart's curves as dygraphs takes them.
import {curveColor, kDashes, withAlpha} from './palette.js';

// With smoothing each curve is there twice: faint as it is, strong as smoothed.
export function labels(chart) {
  const names = chart.data.series.map((_, i) => `s${i}`);
  return ['x', ...names, ...(isSmoothed(chart) ? names.map((name) => name + '~') : [])];
}

const isSmoothed = (chart) => chart.spec.kind === 'lines' && chart.group.smoothing > 1;

export function seriesOptions(chart) {
  const options = {};
  chart.data.series.forEach(({color: index, dash}, i) => {
    const color = curveColor(index);
    const strokePattern = kDashes[dash % kDashes.length];
    const smoothed = isSmoothed(chart);
    options[`s${i}`] = {
      color: smoothed ? withAlpha(color, 0.28) : color,
      strokeWidth: smoothed || chart.spec.kind === 'stack' ? 1 : 1.5,
      strokePattern: smoothed ? null : strokePattern,
    };
    if (smoothed) options[`s${i}~`] = {color, strokeWidth: 1.9, strokePattern};
  });
  return options;
}

export function pointsOf(chart, rows) {
  const {xs, series} = chart.data;
  const {smoothed} = chart.drawn;
  const none = chart.spec.kind === 'stack' ? 0 : null;
  return rows.map((row) => {
    const point = [xs[row]];
    for (const {values} of series) point.push(values[row] ?? none);
    for (const values of smoothed ?? []) point.push(values[row]);
    return point;
  });
}

// [low, value, high] of each.
export function barsOf(chart, rows) {
  const {xs, series} = chart.data;
  return rows.map((row) => [xs[row], ...series.map(({values, low, high}) => {
    const value = values[row];
    if (value === null) return [null, null, null];
    return [low?.[row] ?? value, value, high?.[row] ?? value];
  })]);
}
