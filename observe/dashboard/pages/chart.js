// One chart: a figure with a title, a legend that tells the values at the crosshair, and curves
// drawn by dygraphs.
import {barsOf, kBandAlpha, kStackAlpha, labels, pointsOf, seriesOptions} from './chart_series.js';
import {chartMenu} from './chart_menu.js';
import {drawMarks} from './chart_marks.js';
import {followPointer} from './chart_pointer.js';
import {fill, h} from './dom.js';
import * as format from './format.js';
import {palette} from './palette.js';
import {smooth} from './smooth.js';
import {lineSwatch, runSpot} from './swatch.js';
import {joinCurves} from './tables.js';
import {lowerBound, nearest, thinRows} from './thin.js';

export class Chart {
  constructor(spec, group) {
    this.spec = spec;
    this.group = group;
    this.data = null;
    this.dirty = true;
    this.inView = false;
    this.graph = null;
    this.drawn = null;  // what is on the screen, for the export

    this.surface = h('div', {class: 'surface'});
    this.hair = h('div', {class: 'hair', hidden: true});
    this.band = h('div', {class: 'band', hidden: true});
    this.plot = h('div', {class: 'plot'}, this.surface, this.hair, this.band);
    this.legend = h('ul', {class: 'legend'});
    this.unit = h('span', {class: 'unit'}, unitName(spec.unit));
    const id = `chart-${spec.id.replace(/\W+/g, '-')}`;
    this.element = h('figure', {class: `chart ${spec.wide ? 'wide' : ''}`, id, tabindex: 0},
      h('figcaption', {},
        h('h3', {title: spec.help}, spec.title),
        this.unit,
        chartMenu(this)),
      this.legend, this.plot);
    followPointer(this);
    group.add(this);
  }

  // [{run, xs, series}], the run that the page is about first.
  setSources(sources) {
    const cut = this.spec.kind === 'stack' && sources.length > 1;
    if (cut) sources = sources.slice(0, 1);
    const several = sources.length > 1;
    this.sources = sources;
    this.unit.textContent = unitName(this.spec.unit) + (cut ? `, of ${sources[0].run} only` : '');
    this.data = joinCurves(sources.map((source, runIndex) => ({
      xs: source.xs,
      series: source.series.map((one, i) => ({
        ...one,
        run: source.run,
        color: several ? runIndex : this.spec.colors?.[one.metric] ?? i,
        dash: several ? i : 0,
        name: several ? (source.series.length > 1 ? `${source.run} ${one.label}` : source.run)
          : one.label,
      })),
    })));
    this.dirty = true;
    this.fillLegend();
    this.describe();
  }

  describe() {
    const {xs, series} = this.data;
    const words = series.slice(0, 3).map(({name, values}) => {
      const known = values.filter((value) => value !== null);
      return `${name} from ${this.format(known[0])} to ${this.format(known.at(-1))}`;
    });
    this.element.setAttribute('aria-label', `${this.spec.title}, ${xs.length} points: ` +
      `${words.join('; ')}. Arrow keys read values, Enter asks why.`);
  }

  format(value) {
    return format.value(value, this.spec.unit);
  }

  isLog() {
    return this.spec.kind === 'lines' &&
      (this.group.logs.has('all') || this.group.logs.has(this.spec.id));
  }

  fillLegend() {
    const {series} = this.data;
    this.readouts = series.map(() => h('span', {class: 'value'}));
    if (this.sources.length === 1) {
      fill(this.legend, series.map((one, i) => h('li', {}, lineSwatch(one.color),
        h('span', {}, one.name), this.readouts[i])));
    } else {
      // A dash a curve, a colour a run; the toolbar says which is whose.
      const labels = [...new Set(series.map(({label}) => label))];
      fill(this.legend, labels.map((label) => h('li', {},
        labels.length > 1 && [lineSwatch(null, labels.indexOf(label)), h('span', {}, label)],
        series.map((one, i) => one.label === label && [runSpot(one.color), this.readouts[i]]))));
    }
    this.showValues();
  }

  // The index of what is read, null where it is away from this chart's points.
  indexRead() {
    const {xs} = this.data;
    const x = this.group.reading();
    if (x === null || !xs.length) return null;
    const i = nearest(xs, x);
    if (xs[i] === x) return i;
    const gap = xs.length > 1 ? (xs.at(-1) - xs[0]) / (xs.length - 1) : 1;
    return Math.abs(xs[i] - x) <= gap ? i : null;
  }

  showValues() {
    const i = this.indexRead();
    this.data.series.forEach(({values}, k) => {
      const value = i === null && this.group.reading() === null ? lastKnown(values)
        : values[i] ?? null;
      this.readouts[k].textContent = this.format(value);
    });
  }

  showCrosshair() {
    const x = this.group.crosshair;
    this.showValues();
    const [low, high] = this.group.window();
    const shown = x !== null && this.graph && x >= low && x <= high;
    this.hair.hidden = !shown;
    if (shown) this.hair.style.left = `${this.graph.toDomXCoord(x)}px`;
  }

  resized() {
    if (this.graph && this.plot.clientWidth !== this.graph.width_) {
      this.dirty = true;
      this.group.schedule();
    }
  }

  draw() {
    this.dirty = false;
    if (!this.data?.xs.length || !this.plot.clientWidth) return;
    const {xs, series} = this.data;
    const [low, high] = this.group.window();
    const width = this.spec.kind === 'interval' ? 0 : this.group.smoothing;
    const smoothed = width > 1 ? series.map(({values}) => smooth(values, width)) : null;

    const from = Math.max(0, lowerBound(xs, low) - 1);
    const to = Math.min(xs.length, lowerBound(xs, high) + 2);
    const columns = series.map(({values}) => values);
    const rows = thinRows(smoothed ? [...columns, ...smoothed] : columns, from, to,
      Math.ceil(this.plot.clientWidth / 2));
    this.drawn = {rows, smoothed};

    const shape = `${this.spec.kind}${Boolean(smoothed)}${labels(this).join()}`;
    // What is nowhere above 0 has no place on a log axis.
    const log = this.isLog() &&
      series.some(({values}) => values.slice(from, to).some((value) => value > 0));
    const options = this.options([low, high], rows, log);
    if (this.graph && this.shape === shape) {
      if (this.plot.clientWidth !== this.graph.width_) this.graph.resize();
      this.graph.updateOptions(options);
    } else {
      this.graph?.destroy();
      this.graph = new window.Dygraph(this.surface, options.file, options);
      this.shape = shape;
    }
    this.showCrosshair();
  }

  options(dateWindow, rows, log) {
    const {unit, kind} = this.spec;
    const colors = palette();
    const time = this.group.axis === 'time';
    const share = unit === 'share' && kind !== 'lines';
    return {
      file: kind === 'interval' ? barsOf(this, rows) : pointsOf(this, rows),
      labels: labels(this),
      series: seriesOptions(this),
      dateWindow: padded(dateWindow),
      valueRange: share ? [0, 1.001] : null,
      includeZero: kind === 'stack' || (this.isFlat() && !log),
      logscale: log,
      stackedGraph: kind === 'stack',
      customBars: kind === 'interval',
      fillAlpha: kind === 'stack' ? kStackAlpha : kBandAlpha,
      drawPoints: rows.length <= 60 && kind !== 'stack',
      pointSize: 2,
      connectSeparatedPoints: true,
      legend: 'never',
      highlightCircleSize: 0,
      interactionModel: {},
      gridLineColor: colors.grid,
      axisLineColor: colors.grid,
      gridLineWidth: 1,
      axisLabelFontSize: 11,
      axes: {
        x: {
          axisLabelFormatter: time ? clock : wholeTick,
          ticker: time ? window.Dygraph.dateTicker : window.Dygraph.numericLinearTicks,
          pixelsPerLabel: 64,
          drawGrid: false,
        },
        y: {
          axisLabelFormatter: (y) => format.tick(y, unit),
          axisLabelWidth: 50,
          pixelsPerLabel: 30,
          labelsKMG2: unit === 'bytes',
        },
      },
      underlayCallback: (context, area, graph) => drawMarks(this.group, context, area, graph),
    };
  }

  // A curve without height would float in the middle of its axis.
  isFlat() {
    return this.data.series.every(({values}) => {
      const known = values.filter((value) => value !== null);
      return known.every((value) => value === known[0]);
    });
  }

  destroy() {
    this.graph?.destroy();
    this.graph = null;
  }
}

// Room for the points at both ends.
const padded = ([low, high]) => [low - (high - low) * 0.012, high + (high - low) * 0.012];

const unitName = (unit) => ({share: '%', s: 'seconds', bytes: ''})[unit] ?? unit ?? '';

function lastKnown(values) {
  for (let i = values.length - 1; i >= 0; --i) if (values[i] !== null) return values[i];
  return null;
}

const wholeTick = (x) => (Number.isInteger(x) ? format.number(x) : '');

const clock = (x) => new Date(+x).toLocaleTimeString('en-GB', {hour: '2-digit', minute: '2-digit'});
