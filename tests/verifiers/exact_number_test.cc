#include "verifiers/exact_number.h"

#include <gmock/gmock.h>

#include <string>

namespace ponder {
namespace {

// "numerator/denominator" in lowest terms, with "%" where it is a percentage; the message where it
// is no number.
std::string Read(const std::string& text) {
  const absl::StatusOr<ExactNumber> number = ParseNumber(text);
  if (!number.ok()) return std::string(number.status().message());
  mpq_class value(number->numerator, number->denominator);
  value.canonicalize();
  return value.get_str() + (number->percent ? "%" : "");
}

bool Same(const std::string& a, const std::string& b) {
  return SameValue(ParseNumber(a).value(), ParseNumber(b).value());
}

struct Case {
  std::string text;
  std::string value;
};

void Check(const std::vector<Case>& cases) {
  for (const Case& item : cases)
    EXPECT_EQ(Read(item.text), item.value) << "\"" << item.text << "\"";
}

TEST(ParseNumber, ReadsIntegersOfAnySizeWithSeparators) {
  Check({{"0", "0"},
         {"-5", "-5"},
         {"+5", "5"},
         {"\u22125", "-5"},
         {"- 5", "-5"},
         {"007", "7"},
         {"7,425,000", "7425000"},
         {"1 000", "1000"},
         {"12 345 678", "12345678"},
         {"1{,}234", "1234"},
         {"11,\\! 111,\\! 111", "11111111"},
         {"1\\,234", "1234"},
         {"1_000", "1000"},
         {"1'000", "1000"},
         {"\uFF11\uFF12", "12"},
         {"123456789012345678901234567890", "123456789012345678901234567890"},
         {" 42. ", "42"},
         {"$$42$$", "42"},
         {"\\(42\\)", "42"},
         {"**42**", "42"},
         {"{{42}}", "42"},
         {"(42)", "42"},
         {"\\text{42}", "42"},
         {"x = 42", "42"},
         {"x_1 = 42", "42"},
         {"$\\text{Total} = 42$", "42"}});
}

TEST(ParseNumber, ReadsDecimals) {
  Check({{"0.5", "1/2"},
         {".4", "2/5"},
         {"-.25", "-1/4"},
         {"4.", "4"},
         {"1,000.99", "100099/100"},
         {"1000.0", "1000"},
         {"1,22", "61/50"},
         {"1000,99", "100099/100"},
         {"0,125", "1/8"},
         {"1000,125", "8001/8"},
         {"3.10", "31/10"},
         {"1,0000", "1"}});
}

TEST(ParseNumber, ReadsFractionsAndMixedNumbers) {
  Check({{"3/4", "3/4"},
         {"-6/8", "-3/4"},
         {"3 / 4", "3/4"},
         {"3/-4", "-3/4"},
         {"3\u20444", "3/4"},
         {"1,000/3", "1000/3"},
         {"1 000/3", "1000/3"},
         {"0.5/2", "1/4"},
         {"\\frac{3}{4}", "3/4"},
         {"\\frac34", "3/4"},
         {"\\frac3{4}", "3/4"},
         {"\\frac 3 4", "3/4"},
         {"-\\dfrac{6}{8}", "-3/4"},
         {"\\tfrac{-6}{8}", "-3/4"},
         {"\\cfrac{6}{-8}", "-3/4"},
         {"\\frac{1.5}{2}", "3/4"},
         {"\\left( \\frac{1}{3} \\right)", "1/3"},
         {"1 1/2", "3/2"},
         {"-1 1/2", "-3/2"},
         {"1\\frac{1}{2}", "3/2"},
         {"2 \\frac12", "5/2"},
         {"5\u00BD", "11/2"}});
}

TEST(ParseNumber, ReadsScientificNotationAndScaleWords) {
  Check({{"1.5e3", "1500"},
         {"15E-1", "3/2"},
         {"4.5\\times 10^{33}", "4500000000000000000000000000000000"},
         {"4 \u00D7 10^2", "400"},
         {"4*10^-2", "1/25"},
         {"4 \\cdot 10^{-2}", "1/25"},
         {"2 million", "2000000"},
         {"1.5 billion dollars", "1500000000"},
         {"3 hundred thousand", "300000"}});
}

TEST(ParseNumber, DropsCurrencyUnitsAndWords) {
  Check({{"$12", "12"},
         {"\\$12", "12"},
         {"-$12", "-12"},
         {"$-12", "-12"},
         {"12$", "12"},
         {"\u20AC12", "12"},
         {"$\\$1{,}234.50$", "2469/2"},
         {"12 cm", "12"},
         {"12cm", "12"},
         {"12\\text{ cm}^2", "12"},
         {"12\\mbox{ cm}^2", "12"},
         {"15 m\u00B2", "15"},
         {"1,000.99m^{2}", "100099/100"},
         {"12 km/h", "12"},
         {"$5/hour", "5"},
         {"5 dollars per hour", "5"},
         {"5 (apples)", "5"},
         {"5 cups a day", "5"},
         {"90^\\circ", "90"},
         {"90^{\\circ}", "90"},
         {"20\u00B0C", "20"},
         {"90 degrees", "90"},
         {"125\\textnormal{ miles}", "125"},
         {"1/3 \\text{meters}", "1/3"},
         {"\\frac13 meters", "1/3"},
         {"12 \u5143", "12"},
         {"12\\%", "12%"},
         {"12 %", "12%"},
         {"12 percent", "12%"},
         {"12 percent of the class", "12%"},
         {"12 per cent", "12"}});
}

TEST(ParseNumber, RefusesWhatIsNotOneNumber) {
  for (const std::string text : {"",
                                 " ",
                                 "$",
                                 "-",
                                 ".",
                                 "x",
                                 "five",
                                 "5 or 7",
                                 "5 \\text{ or } 7",
                                 "5, 7",
                                 "1, 2, 3",
                                 "(1,2)",
                                 "\\langle 1,2\\rangle",
                                 "\\{1,2\\}",
                                 "{1,2}",
                                 "5=7",
                                 "x=5=7",
                                 "2x = 5",
                                 "3+4",
                                 "3 + 4 = 7",
                                 "5 - 3",
                                 "5-x",
                                 "4\\sqrt{2}",
                                 "4\\sqrt(2)",
                                 "4\\pi",
                                 "4 pi",
                                 "4\u03C0",
                                 "4x",
                                 "12k",
                                 "5!",
                                 "2^{10}",
                                 "5^2",
                                 "5\u00B2",
                                 "204_5",
                                 "12:00",
                                 "7:32",
                                 "1.000.000",
                                 "1,22,333",
                                 "1/0",
                                 "\\frac{1}{0}",
                                 "\\frac{1}{2",
                                 "\\frac{}{2}",
                                 "\\frac{1/2}{3}",
                                 "1/2/3",
                                 "3\\frac{5}{2}",
                                 "\\pm 5",
                                 "--5",
                                 "5 and a half",
                                 "3 tenths",
                                 "3 quarters",
                                 "5\u4E07",
                                 "1e99999",
                                 "1 \\times 10^{99999}",
                                 "5e",
                                 "5 5",
                                 "\\frac",
                                 "5..5",
                                 "5 apples and 3 pears",
                                 "not 5",
                                 "5\xff",
                                 "nan",
                                 "inf",
                                 "0x10",

                                 "5%%5",
                                 "\\infty"}) {
    const absl::StatusOr<ExactNumber> number = ParseNumber(text);
    EXPECT_FALSE(number.ok()) << "\"" << text << "\" was read as " << Read(text);
    EXPECT_EQ(number.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(ParseNumber, BoundsSizesBeforeComputing) {
  EXPECT_TRUE(ParseNumber(std::string(100'000, '9')).ok());
  EXPECT_FALSE(ParseNumber(std::string(100'001, '9')).ok());
  EXPECT_FALSE(ParseNumber(std::string(10'000'000, '9')).ok());
  EXPECT_TRUE(ParseNumber("1e10000").ok());
  EXPECT_FALSE(ParseNumber("1e10001").ok());
  EXPECT_FALSE(ParseNumber("1e99999999999999999999").ok());
  EXPECT_TRUE(ParseNumber(std::string(10'000, '{') + "5" + std::string(10'000, '}')).ok());
  EXPECT_FALSE(ParseNumber(std::string(90'000, '{') + "5").ok());
}

TEST(SameValue, ComparesExactly) {
  EXPECT_TRUE(Same("0.5", "1/2"));
  EXPECT_TRUE(Same("2\\frac12", "2.50"));
  EXPECT_TRUE(Same("-1/2", "\\frac{1}{-2}"));
  EXPECT_FALSE(Same("1/3", "0.3333333333"));
  EXPECT_FALSE(Same("1267650600228229401496703205376", "1267650600228229401496703205377"));
  EXPECT_FALSE(Same("1e-10000", "0"));
}

TEST(SameValue, APercentageEqualsItsNumberAndItsShare) {
  EXPECT_TRUE(Same("12%", "12"));
  EXPECT_TRUE(Same("12", "12\\%"));
  EXPECT_TRUE(Same("12%", "0.12"));
  EXPECT_TRUE(Same("3/25", "12 percent"));
  EXPECT_TRUE(Same("12%", "12.0 %"));
  EXPECT_FALSE(Same("12%", "0.12%"));
  EXPECT_FALSE(Same("12%", "1.2"));
  EXPECT_FALSE(Same("12%", "1200"));
}

}  // namespace
}  // namespace ponder
