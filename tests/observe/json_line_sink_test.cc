#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "observe/metric_sink.h"

namespace ponder {
namespace {

TEST(JsonLineSinkTest, WritesALineAStep) {
  std::ostringstream out;
  const std::unique_ptr<MetricSink> sink = CreateJsonLineSink(out);
  ASSERT_TRUE(sink->WriteStep(7, {{"reward/mean", 0.5}, {"loss", std::nan("")}}).ok());
  ASSERT_TRUE(sink->WriteStep(8, {}).ok());
  EXPECT_EQ(out.str(),
            "{\"metrics\":{\"loss\":null,\"reward/mean\":0.5},\"step\":7}\n"
            "{\"metrics\":{},\"step\":8}\n");
}

TEST(JsonLineSinkTest, OutlastsItsReader) {
  std::ostringstream out;
  const std::unique_ptr<MetricSink> sink = CreateJsonLineSink(out);
  out.setstate(std::ios::badbit);
  EXPECT_TRUE(sink->WriteStep(1, {}).ok());
}

}  // namespace
}  // namespace ponder
