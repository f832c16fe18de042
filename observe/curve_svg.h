#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace ponder {

struct CurvePoint {
  double x = 0;
  double y = 0;
};

struct Curve {
  std::string label;
  std::vector<CurvePoint> points;  // in order of x; those that are not finite are left out
};

// A line chart. A curve of less than eight points is a line with its points marked; a longer one is
// drawn faintly as it is and boldly as smoothed over its neighbours (Gaussian weights, a fifteenth
// of the points wide).
struct CurvePlot {
  std::string title;
  std::string x_label = "step";
  std::string y_label;
  std::vector<Curve> curves;
  std::optional<std::pair<double, double>> y_range;  // empty: what the points take
};

// A whole SVG file, 800 by 450, on a white ground of its own.
std::string RenderCurveSvg(const CurvePlot& plot);

absl::Status WriteCurveSvg(const std::string& path, const CurvePlot& plot);

}  // namespace ponder
