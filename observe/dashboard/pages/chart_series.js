// A chart's curves as dygraphs takes them.
import {curveColor, kDashes, withAlpha} from './palette.js';

// How much a stack and the band of an interval cover what is below.
export const kStackAlpha = 0.55;
export const kBandAlpha = 0.14;

// With smoothing each line is there twice: faint as it is, strong as smoothed.
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
  const columns = series.map(({values}) => values);
  if (chart.spec.kind === 'stack') {
    return rows.map((row) => [xs[row], ...(smoothed ?? columns).map((values) => values[row] ?? 0)]);
  }
  return rows.map((row) =>
    [xs[row], ...[...columns, ...(smoothed ?? [])].map((values) => values[row])]);
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
