// First index of the ascending `xs` whose value is at least `x`.
export function lowerBound(xs, x) {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function nearest(xs, x) {
  const i = lowerBound(xs, x);
  if (i === 0) return 0;
  return i === xs.length || x - xs[i - 1] <= xs[i] - x ? i - 1 : i;
}

// Which rows of [from, to) to draw: all where they are few; else, in each of `buckets` equal
// parts, those with the least and the greatest value of any column. What is drawn looks the same,
// and a chart of 100,000 points costs what one of 1,000 does.
export function thinRows(columns, from, to, buckets) {
  const n = to - from;
  if (n <= 4 * buckets) return Array.from({length: n}, (_, i) => from + i);
  const rows = [from];
  for (let bucket = 0; bucket < buckets; ++bucket) {
    const begin = from + Math.floor(bucket * n / buckets);
    const end = from + Math.floor((bucket + 1) * n / buckets);
    const chosen = new Set();
    for (const column of columns) {
      let least = -1;
      let greatest = -1;
      for (let i = begin; i < end; ++i) {
        const value = column[i];
        if (value === null) continue;
        if (least < 0 || value < column[least]) least = i;
        if (greatest < 0 || value > column[greatest]) greatest = i;
      }
      if (least >= 0) chosen.add(least).add(greatest);
    }
    rows.push(...[...chosen].filter((i) => i !== from).sort((a, b) => a - b));
  }
  if (rows.at(-1) !== to - 1) rows.push(to - 1);
  return rows;
}
