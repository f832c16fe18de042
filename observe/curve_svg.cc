#include "observe/curve_svg.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include "base/file.h"

namespace ponder {
namespace {

constexpr double kWidth = 800, kHeight = 450;
constexpr double kLeft = 70, kRight = 24, kTop = 76, kBottom = 58;
constexpr double kPlotRight = kWidth - kRight, kPlotBottom = kHeight - kBottom;
constexpr double kLegendY = 54, kLegendLine = 24, kLetterWidth = 8;
constexpr size_t kSmoothFrom = 8;  // points; fewer are shown as they are

// Okabe and Ito's colours: told apart by colour-blind readers too.
constexpr std::array<std::string_view, 6> kColours = {"#0072b2", "#d55e00", "#009e73",
                                                      "#cc79a7", "#56b4e9", "#e69f00"};

std::string Escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += ' ';  // XML has no way to hold control characters
    } else {
      out += c;
    }
  }
  return out;
}

struct Axis {
  double low = 0, high = 1;
  std::vector<double> ticks;

  double Share(double value) const { return (value - low) / (high - low); }
};

// The step of 1, 2 or 5 times a power of ten that gives at most `most` steps over the span.
double NiceStep(double span, int most) {
  const double magnitude = std::pow(10.0, std::floor(std::log10(span / most)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (span / (factor * magnitude) <= most) return factor * magnitude;
  }
  return 10 * magnitude;
}

// `round_out` widens the ends to whole steps.
Axis MakeAxis(double low, double high, int most_ticks, bool round_out, double least_step) {
  // A span too small for its numbers' digits would give endless or equal ticks.
  const double least_span = 1e-9 * std::max({1.0, std::abs(low), std::abs(high)});
  if (!(high - low > least_span)) {
    low -= 0.5 * std::max(1.0, std::abs(low));
    high += 0.5 * std::max(1.0, std::abs(high));
  }
  const double step = std::max(least_step, NiceStep(high - low, most_ticks));
  if (round_out) {
    low = std::floor(low / step) * step;
    high = std::ceil(high / step) * step;
  }
  Axis axis{low, high, {}};
  const double slack = 1e-6 * step;
  for (double i = std::ceil((low - slack) / step); i * step <= high + slack; ++i) {
    axis.ticks.push_back(i * step);
  }
  return axis;
}

std::vector<CurvePoint> FinitePoints(const Curve& curve) {
  std::vector<CurvePoint> points;
  // Beyond 1e100 nothing is a metric any more, and spans would overflow.
  const auto usable = [](double v) { return std::abs(v) <= 1e100; };
  std::copy_if(curve.points.begin(), curve.points.end(), std::back_inserter(points),
               [&](const CurvePoint& p) { return usable(p.x) && usable(p.y); });
  return points;
}

std::vector<CurvePoint> Smooth(const std::vector<CurvePoint>& points) {
  const auto count = static_cast<int64_t>(points.size());
  const double width = std::max(1.0, static_cast<double>(count) / 15);
  const auto reach = static_cast<int64_t>(std::ceil(3 * width));
  std::vector<CurvePoint> smooth = points;
  for (int64_t i = 0; i < count; ++i) {
    double sum = 0, weights = 0;
    for (int64_t j = std::max<int64_t>(0, i - reach); j < std::min(count, i + reach + 1); ++j) {
      const double distance = static_cast<double>(j - i) / width;
      const double weight = std::exp(-0.5 * distance * distance);
      sum += weight * points[j].y;
      weights += weight;
    }
    smooth[i].y = sum / weights;
  }
  return smooth;
}

class Drawing {
 public:
  Drawing(const CurvePlot& plot, const Axis& x, const Axis& y) : plot_(plot), x_(x), y_(y) {
    Add(R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" width="{}" height="{}" )"
        R"(font-family="Helvetica, Arial, 'DejaVu Sans', sans-serif" font-size="14" )"
        R"(fill="#333333">)",
        kWidth, kHeight, kWidth, kHeight);
    Add(R"(<title>{}</title>)", Escape(plot.title));
    Add(R"(<rect width="{}" height="{}" fill="#ffffff"/>)", kWidth, kHeight);
    Add(R"(<text x="{}" y="32" font-size="18" font-weight="bold">{}</text>)", kLeft,
        Escape(plot.title));
  }

  void Axes() {
    for (const double tick : y_.ticks) {
      Add(R"(<line x1="{}" y1="{:.1f}" x2="{}" y2="{:.1f}" stroke="#e3e3e3"/>)", kLeft, Y(tick),
          kPlotRight, Y(tick));
      Add(R"(<text x="{}" y="{:.1f}" text-anchor="end">{}</text>)", kLeft - 10, Y(tick) + 5,
          Number(tick));
    }
    for (const double tick : x_.ticks) {
      Add(R"(<line x1="{:.1f}" y1="{}" x2="{:.1f}" y2="{}" stroke="#888888"/>)", X(tick),
          kPlotBottom, X(tick), kPlotBottom + 5);
      Add(R"(<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>)", X(tick), kPlotBottom + 22,
          Number(tick));
    }
    Add(R"(<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="#888888"/>)", kLeft, kPlotBottom,
        kPlotRight, kPlotBottom);
    Add(R"(<text x="{}" y="{}" text-anchor="middle">{}</text>)", (kLeft + kPlotRight) / 2,
        kHeight - 12, Escape(plot_.x_label));
    const double middle = (kTop + kPlotBottom) / 2;
    Add(R"svg(<text x="18" y="{}" text-anchor="middle" transform="rotate(-90 18 {})">{}</text>)svg",
        middle, middle, Escape(plot_.y_label));
  }

  void Line(const std::vector<CurvePoint>& points, std::string_view colour, bool faint) {
    if (points.empty()) return;
    if (points.size() < kSmoothFrom) {
      for (const CurvePoint& point : points) {
        Add(R"(<circle cx="{:.1f}" cy="{:.1f}" r="3.5" fill="{}"/>)", X(point.x), Y(point.y),
            colour);
      }
    }
    std::string path;
    for (const CurvePoint& point : points) {
      path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "" : " ", X(point.x), Y(point.y));
    }
    Add(R"(<polyline fill="none" stroke="{}" stroke-width="{}" stroke-opacity="{}" )"
        R"(stroke-linejoin="round" stroke-linecap="round" points="{}"/>)",
        colour, faint ? 1.5 : 2.75, faint ? 0.3 : 1.0, path);
  }

  // A row between the title and the plot.
  void Legend() {
    if (plot_.curves.size() == 1 && plot_.curves[0].label.empty()) return;
    double left = kLeft;
    for (size_t i = 0; i < plot_.curves.size(); ++i) {
      const std::string& label = plot_.curves[i].label;
      Add(R"(<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="{}" stroke-width="2.75"/>)", left,
          kLegendY, left + kLegendLine, kLegendY, kColours[i % kColours.size()]);
      Add(R"(<text x="{}" y="{}">{}</text>)", left + kLegendLine + 8, kLegendY + 5, Escape(label));
      left += kLegendLine + 32 + kLetterWidth * static_cast<double>(label.size());
    }
  }

  std::string Finish() {
    Add("</svg>");
    return std::move(svg_);
  }

 private:
  template <typename... Args>
  void Add(fmt::format_string<Args...> format, Args&&... args) {
    svg_ += fmt::format(format, std::forward<Args>(args)...) + "\n";
  }
  double X(double value) const { return kLeft + (kPlotRight - kLeft) * x_.Share(value); }
  // Points outside a given range stand on its border.
  double Y(double value) const {
    return kPlotBottom - (kPlotBottom - kTop) * std::clamp(y_.Share(value), 0.0, 1.0);
  }
  // Ticks are whole multiples of a step: what is left of 1e-17 is a zero.
  static std::string Number(double tick) {
    return fmt::format("{:.6g}", std::abs(tick) < 1e-12 ? 0.0 : tick);
  }

  const CurvePlot& plot_;
  const Axis& x_;
  const Axis& y_;
  std::string svg_;
};

}  // namespace

std::string RenderCurveSvg(const CurvePlot& plot) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::vector<std::vector<CurvePoint>> curves;
  double x_low = kInfinity, x_high = -kInfinity, y_low = kInfinity, y_high = -kInfinity;
  for (const Curve& curve : plot.curves) {
    curves.push_back(FinitePoints(curve));
    for (const CurvePoint& point : curves.back()) {
      x_low = std::min(x_low, point.x), x_high = std::max(x_high, point.x);
      y_low = std::min(y_low, point.y), y_high = std::max(y_high, point.y);
    }
  }
  if (x_low > x_high) x_low = 0, x_high = 1, y_low = 0, y_high = 1;  // an empty chart
  const Axis x = MakeAxis(x_low, x_high, /*most_ticks=*/8, /*round_out=*/false, /*least_step=*/1);
  const Axis y = plot.y_range ? MakeAxis(plot.y_range->first, plot.y_range->second, 6, false, 0)
                              : MakeAxis(y_low, y_high, 6, true, 0);

  Drawing drawing(plot, x, y);
  drawing.Axes();
  for (size_t i = 0; i < curves.size(); ++i) {
    const std::string_view colour = kColours[i % kColours.size()];
    const bool smooth = curves[i].size() >= kSmoothFrom;
    drawing.Line(curves[i], colour, /*faint=*/smooth);
    if (smooth) drawing.Line(Smooth(curves[i]), colour, /*faint=*/false);
  }
  drawing.Legend();
  return drawing.Finish();
}

absl::Status WriteCurveSvg(const std::string& path, const CurvePlot& plot) {
  return WriteFileAtomically(path, RenderCurveSvg(plot));
}

}  // namespace ponder
