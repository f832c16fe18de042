// Saves a chart as it is seen: the same window, smoothing, runs and colours.
import {h} from './dom.js';
import {kBandAlpha, kStackAlpha} from './chart_series.js';
import {curveColor, kDashes, palette} from './palette.js';
import {lowerBound} from './thin.js';

const kPngScale = 2;
const kTop = 44;  // room for title and legend

function save(chart, ending, blob) {
  const runs = [...new Set(chart.data.series.map(({run}) => run))].join('+');
  const name = `${runs}-${chart.spec.id}.${ending}`.replace(/[^\w.+-]+/g, '-');
  const link = h('a', {href: URL.createObjectURL(blob), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// The numbers of the window, unsmoothed.
function windowOf(chart) {
  const {xs, series} = chart.data;
  const [low, high] = chart.group.window();
  const [from, to] = [lowerBound(xs, low), lowerBound(xs, high + Number.EPSILON * high)];
  const end = to < xs.length && xs[to] <= high ? to + 1 : to;
  return {xs: xs.slice(from, end), columns: series.flatMap((one) => [
    {name: columnName(one), values: one.values.slice(from, end)},
    ...['low', 'high'].filter((key) => one[key]).map((key) => (
      {name: `${columnName(one)}_${key}`, values: one[key].slice(from, end)})),
  ])};
}

const columnName = ({run, metric, label}) => `${run}:${metric ?? label}`;
const axisName = (chart) => (chart.group.axis === 'time' ? 'unix_ms' : 'step');

export function saveCsv(chart) {
  const {xs, columns} = windowOf(chart);
  const cell = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = [[axisName(chart), ...columns.map(({name}) => cell(name))].join(',')];
  xs.forEach((x, i) => lines.push([x, ...columns.map(({values}) => values[i] ?? '')].join(',')));
  save(chart, 'csv', new Blob([lines.join('\n') + '\n'], {type: 'text/csv'}));
}

export function saveJson(chart) {
  const {xs, columns} = windowOf(chart);
  const curves = Object.fromEntries(columns.map(({name, values}) => [name, values]));
  const text = JSON.stringify({title: chart.spec.title, unit: chart.spec.unit ?? '',
    [axisName(chart)]: xs, curves});
  save(chart, 'json', new Blob([text], {type: 'application/json'}));
}

export const saveSvg = (chart) =>
  save(chart, 'svg', new Blob([chartSvg(chart)], {type: 'image/svg+xml'}));

export async function savePng(chart) {
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([chartSvg(chart)], {type: 'image/svg+xml'}));
  await image.decode();
  const canvas = document.createElement('canvas');
  canvas.width = image.width * kPngScale;
  canvas.height = image.height * kPngScale;
  const context = canvas.getContext('2d');
  context.scale(kPngScale, kPngScale);
  context.drawImage(image, 0, 0);
  URL.revokeObjectURL(image.src);
  save(chart, 'png', await new Promise((done) => canvas.toBlob(done, 'image/png')));
}

const escape = (text) =>
  String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

function chartSvg(chart) {
  if (!chart.graph) chart.draw();
  const {graph, spec, data} = chart;
  const {ink, faint, grid, paper} = palette();
  const [width, height] = [chart.plot.clientWidth, chart.plot.clientHeight + kTop];
  const area = graph.getArea();
  const text = (x, y, content, options = '') =>
    `<text x="${x}" y="${y}" ${options}>${escape(content)}</text>`;
  let legendX = 8;
  const legend = data.series.map(({name, color, dash}) => {
    const at = legendX;
    legendX += 34 + 6.2 * name.length;
    return `<path d="M${at} 32h14" stroke="${curveColor(color)}" stroke-width="2"` +
      `${dashOf(dash)}/>` + text(at + 19, 36, name, `fill="${ink}"`);
  });
  const box = chart.plot.getBoundingClientRect();
  const ticks = [...chart.surface.querySelectorAll('.dygraph-axis-label')].map((label) => {
    const at = label.getBoundingClientRect();
    const y = at.top - box.top + at.height / 2 + 4;
    return label.classList.contains('dygraph-axis-label-x')
      ? text(at.left - box.left + at.width / 2, y, label.textContent, 'text-anchor="middle"')
      : `<path d="M${area.x} ${y - 4}h${area.w}" stroke="${grid}"/>` +
        text(area.x - 6, y, label.textContent, 'text-anchor="end"');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ` +
    `viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="11">` +
    `<rect width="100%" height="100%" fill="${paper}"/>` +
    text(8, 18, spec.title, `fill="${ink}" font-size="14" font-weight="600"`) +
    legend.join('') +
    `<g transform="translate(0 ${kTop})" fill="${faint}">${ticks.join('')}` +
    `<clipPath id="a"><rect x="${area.x}" y="${area.y}" width="${area.w}" height="${area.h}"/>` +
    `</clipPath><g clip-path="url(#a)" fill="none" stroke-linejoin="round">` +
    `${curvesSvg(chart)}</g></g></svg>\n`;
}

const dashOf = (dash) => {
  const pattern = kDashes[dash % kDashes.length];
  return pattern ? ` stroke-dasharray="${pattern.join(' ')}"` : '';
};

function curvesSvg(chart) {
  const {graph, data, drawn, spec} = chart;
  const x = (row) => graph.toDomXCoord(data.xs[row]).toFixed(1);
  const y = (value) => graph.toDomYCoord(value).toFixed(1);
  const path = (values, rows = drawn.rows) => {
    const points = rows.filter((row) => values[row] !== null && Number.isFinite(values[row]) &&
      !(chart.isLog() && values[row] <= 0));
    return points.map((row, i) => `${i ? 'L' : 'M'}${x(row)} ${y(values[row])}`).join('');
  };
  const between = (low, high) =>
    path(high) + path(low, [...drawn.rows].reverse()).replace(/^M/, 'L') + 'Z';
  if (spec.kind === 'stack') {
    let below = data.xs.map(() => 0);
    const layers = data.series.map(({values, color}, i) =>
      ({values: drawn.smoothed?.[i] ?? values, color}));
    return layers.reverse().map(({values, color}) => {
      const above = below.map((sum, i) => sum + (values[i] ?? 0));
      const d = between(below, above);
      below = above;
      return `<path d="${d}" fill="${curveColor(color)}" fill-opacity="${kStackAlpha}"/>`;
    }).join('');
  }
  return data.series.map(({values, low, high, color, dash}, i) => {
    const stroke = `stroke="${curveColor(color)}"`;
    const bars = low && high
      ? `<path d="${between(low, high)}" fill="${curveColor(color)}" ` +
        `fill-opacity="${kBandAlpha}"/>` : '';
    const strong = drawn.smoothed?.[i];
    const faint = strong
      ? `<path d="${path(values)}" ${stroke} stroke-opacity="0.28"/>` : '';
    return bars + faint + `<path d="${path(strong ?? values)}" ${stroke} stroke-width="1.8"` +
      `${dashOf(dash)}/>`;
  }).join('');
}
