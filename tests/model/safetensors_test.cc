#include "model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "model/tensor_source.h"

namespace ponder {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

std::string File(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header + data;
}

std::string ErrorOf(const std::string& bytes) {
  return std::string(ParseSafetensors(bytes, "x.safetensors").status().message());
}

std::string Bytes(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

const std::string kTwoTensors = R"({"__metadata__":{"format":"pt"},)"
                                R"("b":{"dtype":"BF16","shape":[2,1],"data_offsets":[8,12]},)"
                                R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";

TEST(SafetensorsTest, ReadsTensorsInOrderOfTheirPlace) {
  const std::string data = Bytes({1.5f, -2.0f}) + std::string("\x80\x3f\x00\xc0", 4);
  const std::string bytes = File(kTwoTensors, data);
  const auto entries = ParseSafetensors(bytes, "x");
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 2u);
  EXPECT_EQ((*entries)[0].name, "a");
  EXPECT_EQ((*entries)[1].name, "b");
  EXPECT_EQ((*entries)[1].shape, (std::vector<int64_t>{2, 1}));
  float values[2];
  ASSERT_TRUE(DecodeSafetensors((*entries)[0], 0, 2, values).ok());
  EXPECT_EQ(values[0], 1.5f);
  EXPECT_EQ(values[1], -2.0f);
  ASSERT_TRUE(DecodeSafetensors((*entries)[1], 0, 2, values).ok());
  EXPECT_EQ(values[0], 1.0f);
  EXPECT_EQ(values[1], -2.0f);
  ASSERT_TRUE(DecodeSafetensors((*entries)[1], 1, 1, values).ok());
  EXPECT_EQ(values[0], -2.0f);
}

TEST(SafetensorsTest, ReadsHalfPrecisionAndScalars) {
  const std::string bytes = File(
      R"({"h":{"dtype":"F16","shape":[],"data_offsets":[0,2]},"i":{"dtype":"I64","shape":[1],"data_offsets":[2,10]}})",
      std::string("\x00\x3e", 2) + std::string(8, '\0'));
  const auto entries = ParseSafetensors(bytes, "x");
  ASSERT_TRUE(entries.ok()) << entries.status();
  float value = 0;
  ASSERT_TRUE(DecodeSafetensors((*entries)[0], 0, 1, &value).ok());
  EXPECT_EQ(value, 1.5f);
  EXPECT_THAT(std::string(DecodeSafetensors((*entries)[1], 0, 1, &value).message()),
              AllOf(HasSubstr("i"), HasSubstr("I64")));
}

TEST(SafetensorsTest, SaysWhatATruncatedFileLacksWhereverItEnds) {
  const std::string whole = File(kTwoTensors, std::string(12, '\0'));
  ASSERT_TRUE(ParseSafetensors(whole, "x").ok());
  for (size_t length = 0; length < whole.size(); ++length) {
    const absl::Status status = ParseSafetensors(whole.substr(0, length), "x.safetensors").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << length << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("x.safetensors"));
  }
  EXPECT_THAT(ErrorOf(whole.substr(0, whole.size() - 5)), HasSubstr("5 are missing"));
  EXPECT_THAT(ErrorOf(whole + "!"), HasSubstr("1 more bytes"));
}

TEST(SafetensorsTest, RefusesHeadersThatCannotBe) {
  const auto one = [](const std::string& dtype, const std::string& shape,
                      const std::string& offsets) {
    return File(R"({"t":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
                    offsets + "}}",
                std::string(8, '\0'));
  };
  ASSERT_TRUE(ParseSafetensors(one("F32", "[2]", "[0,8]"), "x").ok());
  EXPECT_THAT(ErrorOf(one("F31", "[2]", "[0,8]")), HasSubstr("F31"));
  EXPECT_THAT(ErrorOf(one("F32", "[3]", "[0,8]")), AllOf(HasSubstr("12"), HasSubstr("8")));
  EXPECT_THAT(ErrorOf(one("F32", "[-2]", "[0,8]")), HasSubstr("shape"));
  EXPECT_THAT(ErrorOf(one("F32", "[2.0]", "[0,8]")), HasSubstr("shape"));
  EXPECT_THAT(ErrorOf(one("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]")), HasSubstr("shape"));
  EXPECT_THAT(ErrorOf(one("F32", "[4294967296,4294967296]", "[0,0]")), HasSubstr("larger"));
  EXPECT_THAT(ErrorOf(one("F32", "[2]", "[8,0]")), HasSubstr("data_offsets"));
  EXPECT_THAT(ErrorOf(one("F32", "[2]", "[0,8,9]")), HasSubstr("data_offsets"));
  EXPECT_THAT(ErrorOf(one("F32", "[2]", "[-8,0]")), HasSubstr("data_offsets"));
  EXPECT_THAT(ErrorOf(one("F32", "[2]", "[18446744073709551608,18446744073709551615]")),
              HasSubstr("7"));
  EXPECT_THAT(ErrorOf(one("F32", "[2]", "[99999999999999999999,99999999999999999999]")),
              HasSubstr("header"));
  EXPECT_THAT(ErrorOf(File("[]", "")), HasSubstr("object"));
  EXPECT_THAT(ErrorOf(File("{\"t\":1}", "")), HasSubstr("dtype"));
  EXPECT_THAT(ErrorOf(File("{\"\":{}}", "")), HasSubstr("names"));
  EXPECT_THAT(ErrorOf(File("", "")), HasSubstr("header"));
  EXPECT_THAT(ErrorOf(File(std::string(1000, '['), "")), HasSubstr("header"));
}

TEST(SafetensorsTest, RefusesOverlapsGapsAndDoubleNames) {
  const auto two = [](const std::string& second, const std::string& begin, const std::string& end) {
    return File(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},")" + second +
                    R"(":{"dtype":"F32","shape":[1],"data_offsets":[)" + begin + "," + end + "]}}",
                std::string(16, '\0'));
  };
  EXPECT_THAT(ErrorOf(two("b", "4", "8")), HasSubstr("overlap"));
  EXPECT_THAT(ErrorOf(two("b", "12", "16")), HasSubstr("gap"));
  EXPECT_THAT(ErrorOf(two("a", "8", "12")), HasSubstr("twice"));
}

TEST(SafetensorsTest, RefusesAHeaderLengthBeyondTheLimit) {
  std::string bytes(16, '\xff');
  EXPECT_THAT(ErrorOf(bytes), HasSubstr("100000000"));
}

// ---- folders ----

class SafetensorsFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(folder_);
    ASSERT_TRUE(MakeDirectories(folder_).ok());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& content) {
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/" + name, content).ok());
  }
  std::string Error() { return std::string(OpenSafetensors(folder_).status().message()); }

  const std::string folder_ = ::testing::TempDir() + "ponder_safetensors_" +
                              std::to_string(getpid()) +
                              ::testing::UnitTest::GetInstance()->current_test_info()->name();
  const std::vector<float> x_ = {1, 2, 3, 4, 5, 6};
  const std::vector<float> y_ = {7.25f, -8};
  const std::vector<TensorToWrite> tensors_ = {{"model.x", {2, 3}, x_.data()},
                                               {"model.y", {2}, y_.data()}};
};

TEST_F(SafetensorsFolderTest, ComesBackAsItWasWritten) {
  ASSERT_TRUE(WriteSafetensorsDirectory(folder_, tensors_, kernels::DType::kF32, 1000).ok());
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/model.safetensors"));
  const auto source = OpenSafetensors(folder_);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_THAT((*source)->Names(), UnorderedElementsAre("model.x", "model.y"));
  EXPECT_EQ(*(*source)->Shape("model.x"), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(*(*source)->StoredType("model.x"), "F32");
  std::vector<float> read(6);
  ASSERT_TRUE((*source)->Read("model.x", read.data(), 6).ok());
  EXPECT_EQ(read, x_);
  EXPECT_FALSE((*source)->Read("model.x", read.data(), 5).ok());
}

TEST_F(SafetensorsFolderTest, SplitsIntoShardsAndReadsThem) {
  ASSERT_TRUE(WriteSafetensorsDirectory(folder_, tensors_, kernels::DType::kBF16, 12).ok());
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/model.safetensors"));
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/model-00002-of-00002.safetensors"));
  const auto source = OpenSafetensors(folder_);
  ASSERT_TRUE(source.ok()) << source.status();
  std::vector<float> read(2);
  ASSERT_TRUE((*source)->Read("model.y", read.data(), 2).ok());
  EXPECT_EQ(read, y_) << "bf16 holds both";
}

TEST_F(SafetensorsFolderTest, SuggestsTheNearestName) {
  ASSERT_TRUE(WriteSafetensorsDirectory(folder_, tensors_, kernels::DType::kF32, 1000).ok());
  const absl::Status status = (*OpenSafetensors(folder_))->Shape("model.yy").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("nearest is model.y"));
}

TEST_F(SafetensorsFolderTest, RefusesAnIndexThatDoesNotFit) {
  EXPECT_THAT(Error(), HasSubstr("model.safetensors.index.json"));
  const std::string index = "model.safetensors.index.json";
  Write(index, "{\"weight_map\": {\"a\"");
  EXPECT_THAT(Error(), HasSubstr("not JSON"));
  Write(index, "{}");
  EXPECT_THAT(Error(), HasSubstr("weight_map"));
  Write(index, R"({"weight_map": {"a": "../secret.safetensors"}})");
  EXPECT_THAT(Error(), HasSubstr("../secret"));
  Write(index, R"({"weight_map": {"a": "shard.safetensors"}})");
  EXPECT_THAT(Error(), AllOf(HasSubstr("shard.safetensors"), HasSubstr("found none")));
  Write("shard.safetensors", File(kTwoTensors, std::string(12, '\0')));
  EXPECT_TRUE(OpenSafetensors(folder_).ok());
  Write(index, R"({"weight_map": {"a": "shard.safetensors", "c": "shard.safetensors"}})");
  EXPECT_THAT(Error(), HasSubstr("expected tensor c"));
  Write("other.safetensors", File(kTwoTensors, std::string(12, '\0')));
  Write(index, R"({"weight_map": {"a": "shard.safetensors", "b": "other.safetensors"}})");
  EXPECT_THAT(Error(), HasSubstr("another shard"));
}

}  // namespace
}  // namespace ponder
