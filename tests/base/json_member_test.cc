#include "base/json_member.h"

#include <gtest/gtest.h>

namespace ponder {
namespace {

TEST(JsonMemberTest, GivesTheTextOfAValueAsItStands) {
  const std::string_view object =
      R"( { "a" : 12345678901234567890123 , "b":{"a":[1,"}"]},"c":"x\"},y" , "d":[ {} ], "e":null } )";
  EXPECT_EQ(JsonMember(object, "a"), "12345678901234567890123");
  EXPECT_EQ(JsonMember(object, "b"), R"({"a":[1,"}"]})");
  EXPECT_EQ(JsonMember(object, "c"), R"("x\"},y")");
  EXPECT_EQ(JsonMember(object, "d"), "[ {} ]");
  EXPECT_EQ(JsonMember(object, "e"), "null");
  EXPECT_EQ(JsonMember(object, "f"), std::nullopt);
  EXPECT_EQ(JsonMember("{}", "a"), std::nullopt);
  EXPECT_EQ(JsonMember("[1]", "a"), std::nullopt);
  EXPECT_EQ(JsonMember(R"({"a":1,"a":2})", "a"), "2");
}

TEST(JsonMemberTest, TextThatIsNoJsonDoesNoHarm) {
  const std::string_view object = R"({"a":{"b":"\"}"},"c":[1,2]})";
  for (size_t size = 0; size <= object.size(); ++size) {
    for (const char* name : {"a", "b", "c"}) JsonMember(object.substr(0, size), name);
  }
  JsonMember("{\"a\\", "a");
  JsonMember("{\"a\":\"\\", "a");
}

}  // namespace
}  // namespace ponder
