// The curves of a chart, picked from what is known of a run.
import {labelOf, namesOf} from './chart_specs.js';

// {xs, series: [{label, metric, values, low?, high?}]}, or null where the run has none of it.
export function pickCurves(spec, run, phase) {
  return spec.source === 'readings' ? pickReadings(spec, run) : pickMetrics(spec, run, phase);
}

function pickMetrics(spec, run, phase) {
  const table = run.table(spec.phase ?? phase);
  const names = namesOf(spec, Object.keys(table.metrics));
  const series = names
    .map((name) => ({
      label: labelOf(spec, name),
      metric: name,
      values: table.metrics[name],
      low: table.metrics[name + '_low'],
      high: table.metrics[name + '_high'],
    }))
    .filter(({values}) => values.some((value) => value !== null));
  return series.length ? {xs: table.steps, series} : null;
}

// On the axis of steps, or of time (`spec.axis`).
function pickReadings(spec, run) {
  const bySeries = new Map();
  const xs = [];
  for (const [, ms, source, name, value] of run.readings) {
    if (!spec.match.test(name)) continue;
    const x = spec.axis === 'time' ? ms : run.stepAt(ms);
    if (x === null) continue;
    if (xs.at(-1) !== x) xs.push(x);
    const gpu = /^gpu\d+(?=\/)/.exec(name)?.[0];
    const label = spec.axis === 'time' ? (gpu ? `${source} ${gpu}` : source)
      : `${source} ${gpu ? gpu + ' ' : ''}${shortName(name)}`;
    if (!bySeries.has(label)) bySeries.set(label, []);
    const values = bySeries.get(label);
    while (values.length < xs.length - 1) values.push(null);
    values[xs.length - 1] = value;
  }
  if (!bySeries.size) return null;
  const series = [...bySeries].map(([label, values]) => {
    while (values.length < xs.length) values.push(null);
    return {label, metric: null, values};
  });
  return {xs, series};
}

const shortName = (name) =>
  name.slice(name.indexOf('/') + 1).replace(/_bytes$/, '').replaceAll('_', ' ');
