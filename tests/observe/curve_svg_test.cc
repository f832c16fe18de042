#include "observe/curve_svg.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <regex>
#include <string>

#include "base/file.h"
#include "tests/observe/store_records.h"

namespace ponder {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

Curve Line(int points) {
  Curve curve{"reward", {}};
  for (int i = 0; i < points; ++i) curve.points.push_back({1.0 + i, 0.01 * i});
  return curve;
}

TEST(CurveSvgTest, PutsPointsWhereTheAxesSay) {
  const std::string svg =
      RenderCurveSvg({.title = "t", .curves = {{"", {{0, 0}, {4, 1}}}}, .y_range = {{0.0, 1.0}}});
  // Left bottom and right top of the plot area.
  EXPECT_THAT(svg, HasSubstr("points=\"70.0,392.0 776.0,76.0\""));
  EXPECT_THAT(svg, HasSubstr(">0.2</text>"));
}

TEST(CurveSvgTest, SmoothsLongCurvesOverTheFaintOnes) {
  EXPECT_EQ(Count(RenderCurveSvg({.curves = {Line(7)}}), "<polyline"), 1);
  const std::string svg = RenderCurveSvg({.curves = {Line(60), Line(60)}});
  EXPECT_EQ(Count(svg, "<polyline"), 4);
  EXPECT_EQ(Count(svg, "stroke-opacity=\"0.3\""), 2);
}

TEST(CurveSvgTest, SmoothingKeepsAConstantAndCutsASpike) {
  Curve curve{"", {}};
  for (int i = 0; i < 60; ++i)
    curve.points.push_back({static_cast<double>(i), i == 30 ? 1.0 : 0.0});
  const std::string svg = RenderCurveSvg({.curves = {curve}, .y_range = {{0.0, 1.0}}});
  const std::string smooth = svg.substr(svg.rfind("<polyline"));
  EXPECT_THAT(smooth, HasSubstr("70.0,392.0 "));
  // A Gaussian 60 / 15 = 4 points wide, cut at three widths: the spike keeps its share of the
  // weights.
  double weights = 0;
  for (int k = -12; k <= 12; ++k) weights += std::exp(-0.5 * k * k / 16.0);
  EXPECT_THAT(smooth, HasSubstr(fmt::format(",{:.1f} ", 392 - 316 / weights)));
  EXPECT_THAT(smooth, Not(HasSubstr(",76.0")));
}

TEST(CurveSvgTest, EscapesForeignText) {
  const std::string svg = RenderCurveSvg(
      {.title = "<script>&\x01", .y_label = "a<b", .curves = {{"<x>", {{1, 1}, {2, 2}}}}});
  EXPECT_THAT(svg, Not(HasSubstr("<script")));
  EXPECT_THAT(svg, Not(HasSubstr("\x01")));
  EXPECT_THAT(svg, HasSubstr("&lt;script>&amp; "));
  EXPECT_THAT(svg, HasSubstr("a&lt;b"));
  EXPECT_THAT(svg, HasSubstr("&lt;x>"));
}

TEST(CurveSvgTest, DrawsWhateverItIsGiven) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const std::vector<CurvePoint>& points : std::vector<std::vector<CurvePoint>>{
           {},
           {{1, 0.5}},
           {{1, 0.5}, {2, 0.5}},
           {{1, NAN}, {2, kInfinity}, {NAN, 3}},
           {{1, NAN}, {2, 1}, {3, 2}},
           {{0, 1e300}, {1, -1e300}},
           {{0, 1e99}, {1, -1e99}},
           {{0, 1e-300}, {1, 2e-300}},
           {{1e15, 1}, {1e15 + 1, 1 + 1e-15}},
       }) {
    for (const auto& range : std::vector<std::optional<std::pair<double, double>>>{
             std::nullopt, {{0.0, 1.0}}, {{1.0, 1.0}}, {{NAN, 1.0}}}) {
      const std::string svg = RenderCurveSvg({.curves = {{"label", points}}, .y_range = range});
      EXPECT_LT(svg.size(), 20000u);
      EXPECT_TRUE(svg.ends_with("</svg>\n"));
      if (range && std::isnan(range->first)) continue;
      EXPECT_FALSE(std::regex_search(svg, std::regex("=\"-?(nan|inf)"))) << svg;
    }
  }
}

TEST(CurveSvgTest, WritesTheFile) {
  const std::string directory = FreshDirectory();
  ASSERT_TRUE(WriteCurveSvg(directory + "/a.svg", {.curves = {Line(3)}}).ok());
  EXPECT_EQ(*ReadFile(directory + "/a.svg"), RenderCurveSvg({.curves = {Line(3)}}));
  EXPECT_FALSE(WriteCurveSvg(directory + "/missing/a.svg", {}).ok());
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace ponder
