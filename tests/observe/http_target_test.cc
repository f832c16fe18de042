#include "observe/http_target.h"

#include <gtest/gtest.h>

namespace ponder {
namespace {

using Query = std::map<std::string, std::string, std::less<>>;

TEST(HttpTargetTest, DecodesPathAndQuery) {
  const auto target = ParseHttpTarget("/api/a%2Fb+c?names=reward%2Fmean,a&text=x+%2B+y&flag&e=");
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_EQ(target->path, "/api/a/b+c");
  EXPECT_EQ(target->query,
            (Query{{"names", "reward/mean,a"}, {"text", "x + y"}, {"flag", ""}, {"e", ""}}));
  EXPECT_EQ(ParseHttpTarget("/?")->query, Query());
  EXPECT_EQ(ParseHttpTarget("/?&a=1&&b=2=3&")->query, (Query{{"a", "1"}, {"b", "2=3"}}));
  EXPECT_EQ(ParseHttpTarget("/%c3%A4\xff")->path, "/ä\xff");
}

TEST(HttpTargetTest, RefusesWhatIsBroken) {
  for (const char* target :
       {"", "*", "api", "http://a/", "/%", "/%4", "/%zz", "/%0g", "/%00", "/a%0d%0ab", "/a\nb",
        "/?a=%7f", "/?=1", "/?a=1&a=1", "/?a=1&%61=2", "/?a=%"}) {
    EXPECT_EQ(ParseHttpTarget(target).status().code(), absl::StatusCode::kInvalidArgument)
        << target;
  }
}

TEST(HttpTargetTest, KeepsToItsLimits) {
  const HttpTargetLimits limits{
      .target_bytes = 40, .parameters = 2, .name_bytes = 3, .value_bytes = 5};
  EXPECT_TRUE(ParseHttpTarget("/?abc=12345&d=%31%32%33%34%35", limits).ok());
  for (const char* target : {"/?abcd=1", "/?a=123456", "/?a=1&b=2&c=3"}) {
    EXPECT_EQ(ParseHttpTarget(target, limits).status().code(), absl::StatusCode::kInvalidArgument)
        << target;
  }
  EXPECT_TRUE(ParseHttpTarget("/" + std::string(39, 'a'), limits).ok());
  EXPECT_EQ(ParseHttpTarget("/" + std::string(40, 'a'), limits).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(HttpTargetTest, EncodesWhatItDecodes) {
  std::string all;
  for (int c = 0x20; c < 256; ++c) {
    if (c != 0x7f) all += static_cast<char>(c);
  }
  EXPECT_EQ(PercentEncode("a-z_0.~/ ä"), "a-z_0.~%2F%20%C3%A4");
  EXPECT_EQ(ParseHttpTarget("/" + PercentEncode(all))->path, "/" + all);
  EXPECT_EQ(ParseHttpTarget("/?q=" + PercentEncode(all))->query.at("q"), all);
}

}  // namespace
}  // namespace ponder
