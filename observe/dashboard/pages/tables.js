// Metrics as columns: {steps: [...], metrics: {name: [...]}}, every column as long as the steps.

export const emptyTable = () => ({steps: [], metrics: {}});

// Appends later steps; a name that one side lacks is null there.
export function appendTable(table, later) {
  const before = table.steps.length;
  const after = later.steps.length;
  for (const name of Object.keys(later.metrics)) {
    table.metrics[name] ??= new Array(before).fill(null);
  }
  for (const [name, column] of Object.entries(table.metrics)) {
    const more = later.metrics[name] ?? new Array(after).fill(null);
    for (const value of more) column.push(value);
  }
  for (const step of later.steps) table.steps.push(step);
}

// Curves over different xs, brought to the xs of all of them.
// [{xs, series: [{values, ...}]}] -> {xs, series: [...]}
export function joinCurves(sources) {
  if (sources.length === 1) return sources[0];
  const xs = [...new Set(sources.flatMap((source) => source.xs))].sort((a, b) => a - b);
  const place = new Map(xs.map((x, i) => [x, i]));
  const spread = (from, values) => {
    const column = new Array(xs.length).fill(null);
    values.forEach((value, i) => { column[place.get(from[i])] = value; });
    return column;
  };
  const series = sources.flatMap((source) => source.series.map((one) => ({
    ...one,
    values: spread(source.xs, one.values),
    low: one.low && spread(source.xs, one.low),
    high: one.high && spread(source.xs, one.high),
  })));
  return {xs, series};
}

// Of the last `count` numbers of a column up to index `end` (not included); null without any.
export function meanBefore(column, end, count) {
  let sum = 0;
  let n = 0;
  for (let i = end - 1; i >= 0 && n < count; --i) {
    if (column[i] === null) continue;
    sum += column[i];
    ++n;
  }
  return n ? sum / n : null;
}
