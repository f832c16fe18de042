// The widths that the smoothing slider offers, in points of a curve; 0: as it is.
export const kWidths = [0, 3, 5, 10, 20, 50, 100, 200];

// Averages about `width` points around each, with weights that fall off exponentially to both
// sides, so nothing is delayed. Points without a number have no weight and stay without one.
export function smooth(values, width) {
  if (width <= 1) return values;
  const decay = (width - 1) / (width + 1);  // 1 + 2 (decay + decay^2 + ...) = width
  const n = values.length;
  const sums = new Float64Array(n);
  const weights = new Float64Array(n);
  const pass = (from, to, by) => {
    let sum = 0;
    let weight = 0;
    for (let i = from; i !== to; i += by) {
      sums[i] += sum;  // of those before, without itself
      weights[i] += weight;
      const has = values[i] !== null && Number.isFinite(values[i]);
      sum = decay * (sum + (has ? values[i] : 0));
      weight = decay * (weight + (has ? 1 : 0));
    }
  };
  pass(0, n, 1);
  pass(n - 1, -1, -1);
  return Array.from(values, (value, i) =>
    value === null || !Number.isFinite(value) ? null : (sums[i] + value) / (weights[i] + 1));
}
