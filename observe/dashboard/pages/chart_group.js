// Charts that share their zoom, their crosshair, their smoothing and the marks of events. A chart
// is drawn when it can be seen, at most once a frame.

export class ChartGroup {
  // onZoom(range or null), onPick({metric, step, run}) and onCrosshair(x or null) may be left out.
  constructor({onZoom, onPick, onCrosshair, axis = 'step'} = {}) {
    this.axis = axis;  // "step" or "time"
    this.onZoom = onZoom ?? (() => {});
    this.onPick = onPick ?? null;
    this.onCrosshair = onCrosshair ?? (() => {});
    this.charts = new Set();
    this.zoom = null;
    this.smoothing = 0;
    this.logs = new Set();  // ids of charts with a log axis; "all"
    this.events = [];
    this.markedStep = null;
    this.pinned = null;  // what legends tell while there is no crosshair; null: the last
    this.crosshair = null;
    this.frame = 0;
    this.byElement = new Map();
    this.seen = new IntersectionObserver((entries) => {
      for (const {target, isIntersecting} of entries) {
        const chart = this.byElement.get(target);
        if (chart) chart.inView = isIntersecting;
      }
      this.schedule();
    }, {rootMargin: '150px'});
    this.sizes = new ResizeObserver((entries) => {
      for (const {target} of entries) this.byElement.get(target)?.resized();
    });
    this.themeChanged = () => this.redraw();
    addEventListener('themechange', this.themeChanged);
  }

  add(chart) {
    this.charts.add(chart);
    this.byElement.set(chart.plot, chart);
    this.seen.observe(chart.plot);
    this.sizes.observe(chart.plot);
  }

  remove(chart) {
    this.charts.delete(chart);
    this.byElement.delete(chart.plot);
    this.seen.unobserve(chart.plot);
    this.sizes.unobserve(chart.plot);
    chart.destroy();
  }

  close() {
    for (const chart of [...this.charts]) this.remove(chart);
    this.seen.disconnect();
    this.sizes.disconnect();
    cancelAnimationFrame(this.frame);
    removeEventListener('themechange', this.themeChanged);
  }

  // {zoom, smoothing, logs, markedStep, pinned, events}: those given.
  set(view) {
    Object.assign(this, view);
    this.redraw();
  }

  redraw() {
    for (const chart of this.charts) chart.dirty = true;
    this.schedule();
  }

  schedule() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      for (const chart of this.charts) {
        if (chart.dirty && chart.inView) chart.draw();
      }
    });
  }

  // The widest range of any chart's curves.
  extent() {
    let [low, high] = [Infinity, -Infinity];
    for (const {data} of this.charts) {
      if (!data?.xs.length) continue;
      low = Math.min(low, data.xs[0]);
      high = Math.max(high, data.xs.at(-1));
    }
    if (low > high) return [0, 1];
    return low === high ? [low - 0.5, high + 0.5] : [low, high];
  }

  window() {
    return this.zoom ?? this.extent();
  }

  zoomTo(range) {
    const [low, high] = this.extent();
    if (range) {
      range = [Math.max(low, range[0]), Math.min(high, range[1])];
      if (range[0] <= low && range[1] >= high) range = null;
      else if (!(range[1] - range[0] > 0)) return;
    }
    this.set({zoom: range});
    this.onZoom(range);
  }

  // Zooms by `factor` around the crosshair, or the middle.
  zoomBy(factor) {
    const [low, high] = this.window();
    const inside = this.crosshair !== null && this.crosshair >= low && this.crosshair <= high;
    const center = inside ? this.crosshair : (low + high) / 2;
    const least = this.axis === 'step' ? 1 : 1000;
    if ((high - low) * factor < least) return;
    this.zoomTo([center - (center - low) * factor, center + (high - center) * factor]);
  }

  reading() {
    return this.crosshair ?? this.pinned;
  }

  setCrosshair(x) {
    if (x === this.crosshair) return;
    this.crosshair = x;
    for (const chart of this.charts) if (chart.inView) chart.showCrosshair();
    this.onCrosshair(x);
  }
}
