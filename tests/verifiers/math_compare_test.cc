#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "verifiers/math/answer_check.h"
#include "verifiers/math/flint/flint_algebra.h"
#include "verifiers/math/parser.h"

namespace ponder::math {
namespace {

AnswerOutcome Check(const std::string& gold, const std::string& answer,
                    const CompareOptions& options = {}) {
  static Algebra& algebra = *CreateFlintAlgebra().release();
  return CheckAnswer(gold, answer, options, algebra).outcome;
}

struct Pair {
  std::string gold, answer;
};

void ExpectAll(AnswerOutcome expected, const std::vector<Pair>& pairs,
               const CompareOptions& options = {}) {
  for (const Pair& pair : pairs) {
    EXPECT_EQ(Check(pair.gold, pair.answer, options), expected)
        << pair.gold << "   against   " << pair.answer;
  }
}

TEST(MathCompare, ReadsNumbersInAllSpellings) {
  ExpectAll(AnswerOutcome::kEqual, {{"1234567", "1,234,567"},
                                    {"1234", "1{,}234"},
                                    {"1234567", "1 234 567"},
                                    {"32349", "32,\\! 349"},
                                    {"0.5", ".5"},
                                    {"1/2", "\\frac12"},
                                    {"1/2", "\\dfrac{1}{2}"},
                                    {"1/2", "\u00BD"},
                                    {"-7/2", "-3\\frac{1}{2}"},
                                    {"5/2", "2 1/2"},
                                    {"15/2", "3 \\cdot 2\\frac{1}{2}"},
                                    {"-2", "1 - 2 + 3 - 4"},
                                    {"2", "8 / 2 / 2"},
                                    {"12", "3/2 \\cdot 8"},
                                    {"1/3", "0.\\overline{3}"},
                                    {"1/6", "0.1\\overline{6}"},
                                    {"4.5e33", "4.5 \\times 10^{33}"},
                                    {"1.5E-3", "0.0015"},
                                    {"54", "204_5"},
                                    {"5", "101_{2}"},
                                    {"3", "\uFF13"},
                                    {"2", "\\$2.00"},
                                    {"90", "90^\\circ"},
                                    {"12", "12 \\text{ cm}^2"},
                                    {"12", "12\\text{ km/h}"},
                                    {"28", "28\\%"},
                                    {"0.28", "28\\%"},
                                    {"3628800", "10!"},
                                    {"120", "\\binom{10}{3}"},
                                    {"120", "{10 \\choose 3}"},
                                    {"3", "\\lfloor 7/2 \\rfloor"},
                                    {"4", "\\lceil 7/2 \\rceil"},
                                    {"5", "|-5|"},
                                    {"5", "\\left|2-7\\right|"},
                                    {"6", "\\gcd(12, 18)"},
                                    {"7", "\\max(3, 7)"},
                                    {"8", "2^3"},
                                    {"8", "2**3"},
                                    {"1024", "2^{10}"},
                                    {"0.001", "10^{-3}"},
                                    {"1267650600228229401496703205376", "2^{100}"}});
  ExpectAll(AnswerOutcome::kDifferent, {{"1234", "1,235"},
                                        {"1,000,000", "1,000,001"},
                                        {"1,234,567", "567,234,1"},
                                        {"1/3", "0.33"},
                                        {"1267650600228229401496703205376", "2^{100}+1"},
                                        {"1/2", "2"},
                                        {"54", "204_6"},
                                        {"1", "(10^{50}+1)/10^{50}"},
                                        {"1/2004!", "1/2006!"},
                                        {"5", "-5"},
                                        {"12", "12x"}});
}

TEST(MathCompare, DecidesConstantsExactly) {
  ExpectAll(AnswerOutcome::kEqual, {{"\\sqrt{8}", "2\\sqrt2"},
                                    {"\\frac{1}{\\sqrt{2}}", "\\frac{\\sqrt{2}}{2}"},
                                    {"3", "\\sqrt[3]{27}"},
                                    {"-2", "\\sqrt[3]{-8}"},
                                    {"\\sqrt{2+\\sqrt{3}}", "\\frac{\\sqrt{6}+\\sqrt{2}}{2}"},
                                    {"-1", "e^{i\\pi}"},
                                    {"3", "\\log_2 8"},
                                    {"2", "\\ln e^2"},
                                    {"\\frac{\\sqrt{3}}{2}", "\\sin 60^\\circ"},
                                    {"1/2", "\\cos\\frac{\\pi}{3}"},
                                    {"\\frac{\\pi}{4}", "\\arctan 1"},
                                    {"\\frac{\\pi}{6}", "\\sin^{-1}(1/2)"},
                                    {"2\\pi", "\\pi + \\pi"},
                                    {"3+4i", "4i + 3"},
                                    {"-5", "(1+2i)^2 - 2 - 4i"},
                                    {"\\frac{9}{4}\\pi", "\\frac{9\\pi}{4}"},
                                    {"1 - \\frac{1}{\\mathrm{e}}", "1 - 1/e"},
                                    {"10^{\\frac{1}{2}}", "\\sqrt{10}"}});
  ExpectAll(AnswerOutcome::kDifferent,
            {{"\\sqrt{2}", "1.41421356"},
             {"4", "4\\sqrt(2)"},
             {"3+4i", "3-4i"},
             {"\\pi", "22/7"},
             {"\\pi", "3.14159265358979323846264338327950288419716939937510"},
             {"e^{\\pi\\sqrt{163}}", "262537412640768744"},
             {"\\sqrt{2}", "\\sqrt{2}+10^{-200}"},
             {"2", "\\frac{1+\\sqrt5}{2}"}});
}

TEST(MathCompare, DecidesExpressionsWithVariables) {
  ExpectAll(AnswerOutcome::kEqual, {{"x^2+2x+1", "(x+1)^2"},
                                    {"\\frac{x^2-1}{x-1}", "x+1"},
                                    {"(a+b)(a-b)", "a^2-b^2"},
                                    {"2ab", "2 b a"},
                                    {"\\cos^2 x - \\sin^2 x", "\\cos 2x"},
                                    {"\\tan^2(y)+1", "\\sec^2(y)"},
                                    {"\\frac{1}{3x^{2/3}}", "\\frac{1}{3\\sqrt[3]{x}^2}"},
                                    {"k\\pi+\\frac{\\pi}{6}", "\\frac{\\pi}{6} + k\\pi"},
                                    {"\\sqrt{x^2}", "|x|"},
                                    {"\\ln(x^3)", "3\\ln x"},
                                    {"x_1 + x_2", "x_{2} + x_{1}"},
                                    {"2^{n+1}", "2 \\cdot 2^n"},
                                    {"n!", "n \\cdot (n-1)!"},
                                    {"f(x)+1", "1+f(x)"},
                                    {"\\alpha + \\beta", "\\beta+\\alpha"}});
  ExpectAll(AnswerOutcome::kDifferent, {{"x+2n+1", "x+1"},
                                        {"(a+5)(b+2)", "(+5)(b+2)"},
                                        {"\\sqrt{x^2}", "x"},
                                        {"f(x)", "f(y)"},
                                        {"x^2", "x^3"},
                                        {"\\sum_{k=0}^{n-1} F_k", "\\sum_{k=0}^{n-2} F_k"},
                                        {"x", "X"}});
}

TEST(MathCompare, ListsAndSetsHaveNoOrderButTuplesHave) {
  ExpectAll(AnswerOutcome::kEqual, {{"-2,1", "1, -2"},
                                    {"\\{1,2\\}", "\\{2,1\\}"},
                                    {"\\{1,2\\}", "1 \\text{ and } 2"},
                                    {"\\{1,2\\}", "\\{1,2,2\\}"},
                                    {"(1,2)", "\\left(1, \\frac{4}{2}\\right)"},
                                    {"(1,2)", "\\langle 1, 2\\rangle"},
                                    {"(1,2),(3,4)", "(3,4), (1,2)"},
                                    {"1 \\pm \\sqrt{19}", "1+\\sqrt{19}, 1-\\sqrt{19}"},
                                    {"\\pm 3", "\\{-3, 3\\}"},
                                    {"19, 46, and 82", "19, 46, \\text{ and } 82"},
                                    {"-12;-11", "-11, -12"},
                                    {"(0;5),(2;1)", "(2,1),(0,5)"},
                                    {"\\emptyset", "\\varnothing"},
                                    {"\\emptyset", "\\{\\}"},
                                    {"1,22", "22, 1"},
                                    {"1,22", "1.22"}});
  ExpectAll(AnswerOutcome::kDifferent, {{"(2,3)", "(3,2)"},
                                        {"\\{1,2\\}", "\\{1,2,3\\}"},
                                        {"7", "5 \\text{ or } 7"},
                                        {"7", "5, 7"},
                                        {"\\pm 3", "3"},
                                        {"1, 2, \\ldots, n", "1, 3, 5, \\ldots, 2n-1"},
                                        {"\\langle 1,2\\rangle", "1.2"},
                                        {"(1,2)", "\\{1,2\\}"},
                                        {"(0,9)", "[0,9)"},
                                        {"\\emptyset", "0"}});
}

TEST(MathCompare, IntervalsAndInequalitiesAreSetsOfNumbers) {
  ExpectAll(AnswerOutcome::kEqual, {{"[-2,7]", "-2 \\le x \\le 7"},
                                    {"x \\in [-2,7]", "-2 \\le x \\le 7"},
                                    {"x < 1", "-x > -1"},
                                    {"x \\ge 5", "5 \\le x"},
                                    {"x > 5", "2x > 10"},
                                    {"(-\\infty,\\infty)", "\\mathbb{R}"},
                                    {"x \\ne 2", "(-\\infty,2) \\cup (2,\\infty)"},
                                    {"\\mathbb{R} \\setminus \\{2\\}", "x != 2"},
                                    {"|x-1|<2", "-1<x<3"},
                                    {"|x| \\ge 1", "(-\\infty,-1]\\cup[1,\\infty)"},
                                    {"1\\leq|z|\\leq \\frac{3}{2}", "[-3/2,-1]\\cup[1,3/2]"},
                                    {"[1,2] \\cup [2,3]", "[1,3]"},
                                    {"(1,5) \\cap (3,9)", "(3,5)"},
                                    {"x<1 \\text{ or } x>3", "(-\\infty,1)\\cup(3,\\infty)"},
                                    {"x>1 \\text{ and } x<3", "(1,3)"},
                                    {"\\{x|-2\\leq x < 1\\}", "[-2,1)"},
                                    {"0<f(x)<1", "(0,1)"},
                                    {"(1, \\sqrt{5})", "1 < x < \\sqrt5"},
                                    {"x + y < 3", "2x + 2y < 6"},
                                    {"x + y < 3", "3 > y + x"},
                                    {"D = (0, 1)", "(0,1)"}});
  ExpectAll(AnswerOutcome::kDifferent, {{"(-\\infty,1)", "(-\\infty,1]"},
                                        {"x > 5", "x < 5"},
                                        {"x \\ge 5", "x > 5"},
                                        {"[1,2]", "[1,3]"},
                                        {"(1,2) \\cup (2,3)", "(1,3)"},
                                        {"x + y < 3", "x + y > 3"},
                                        {"x < 3", "y < 3"},
                                        {"x > 5", "5"}});
}

TEST(MathCompare, EquationsHoldUpToAFactorAndAssignmentsByValue) {
  ExpectAll(AnswerOutcome::kEqual, {{"y=2x+1", "2x-y+1=0"},
                                    {"2x+4y-3=0", "y=-\\frac{1}{2}x+\\frac{3}{4}"},
                                    {"x-2y+z-1=0", "2x-4y+2z=2"},
                                    {"11", "x=11"},
                                    {"11", "x \\approx 11"},
                                    {"x = 11", "x = 5+6 = 11"},
                                    {"x = 1/3", "x = 1/3 \\approx 0.333"},
                                    {"(p,q)=(3,2)", "(3,2)"},
                                    {"(x,y)=(1,2)", "x=1, y=2"},
                                    {"a_3 = 2, a_{37} = 19", "a_{37} = 19, a_3 = 2"},
                                    {"AB=4,CD=5", "4, 5"},
                                    {"\\frac{NO}{BO}=\\frac{1}{\\sqrt6}", "\\frac{1}{\\sqrt6}"},
                                    {"n=1, 2, 3", "1, 2, 3"},
                                    {"p = 5, q = 2 \\text{ and } p = 7, q = 2", "p=7,q=2;p=5,q=2"},
                                    {"f(x)=x^2", "x^2"},
                                    {"7:32", "S_{A}:S=7:32"},
                                    {"2:3", "4:6"},
                                    {"2:3", "2/3"},
                                    {"12:00", "12:00"}});
  ExpectAll(AnswerOutcome::kDifferent, {{"x+z=1", "1"},
                                        {"a+3z=0", "0"},
                                        {"7", "5=7"},
                                        {"x = 3", "y = 3"},
                                        {"y=2x+1", "y=2x-1"},
                                        {"p = 5, q = 2", "p = 2, q = 5"},
                                        {"x = 11", "x = 5 + 5 + 1 = 7 = 11"},
                                        {"12:00", "7:00"}});
}

TEST(MathCompare, MatricesAreWorkedOut) {
  ExpectAll(
      AnswerOutcome::kEqual,
      {{"\\begin{bmatrix}\\frac12\\\\0\\end{bmatrix}", "\\begin{pmatrix}0.5\\\\0\\end{pmatrix}"},
       {"\\begin{pmatrix}6&8\\\\10&12\\end{pmatrix}",
        "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}+\\begin{pmatrix}5&6\\\\7&8\\end{pmatrix}"},
       {"\\begin{pmatrix}7&10\\\\15&22\\end{pmatrix}",
        "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}^2"},
       {"\\begin{pmatrix}2\\\\4\\end{pmatrix}", "2\\begin{pmatrix}1\\\\2\\end{pmatrix}"},
       {"\\begin{pmatrix}1&2\\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}^T"},
       {"\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}",
        "\\left[\\begin{array}{cc}1&2\\\\3&4\\end{array}\\right]"}});
  ExpectAll(
      AnswerOutcome::kDifferent,
      {{"\\begin{pmatrix}1&2\\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"},
       {"\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{pmatrix}1&2\\\\4&3\\end{pmatrix}"},
       {"\\begin{pmatrix}1&2\\end{pmatrix}", "5"}});
}

TEST(MathCompare, TextsAndChoicesGoByTheirLetters) {
  ExpectAll(AnswerOutcome::kEqual,
            {{"\\text{Yes}", "yes"},
             {"C", "\\text{(C)}"},
             {"\\text{E}", "E"},
             {"\\text{odd}", "odd"},
             {"\\text{The midpoints form a hexagon}", "the midpoints form a hexagon."}});
  ExpectAll(AnswerOutcome::kDifferent,
            {{"C", "D"}, {"\\text{Yes}", "no"}, {"\\text{odd}", "\\text{even}"}, {"7", "seven"}});
}

TEST(MathCompare, HugeNumbersAreToldApartWithoutComputingThem) {
  ExpectAll(AnswerOutcome::kDifferent, {{"9^{9^{9^{9}}}", "9^{9^{9}}"},
                                        {"7", "((10^9)!)!"},
                                        {"7", "9^{9^{9^{9^9}}}"},
                                        {"10^{10^{10}}", "10^{10^{11}}"}});
  ExpectAll(AnswerOutcome::kEqual,
            {{"9^{9^{9^{9}}}", "9^{9^{9^{9}}}"}, {"10^{10^{10}}", "10^{10^{10}}"}});
  EXPECT_EQ(Check("9^{9^{9^{9}}}", "9^{9^{9^{9}}}+1"), AnswerOutcome::kUndecided);
}

TEST(MathCompare, OptionsSayHowStrict) {
  ExpectAll(AnswerOutcome::kEqual,
            {{"1/3", "0.3333"},
             {"\\sqrt{17}", "4.12311"},
             {"(1/3, 2)", "(0.3333, 2)"},
             {"[0, 8/3]", "[0, 2.66667]"}},
            {.decimal_places = 4});
  ExpectAll(AnswerOutcome::kDifferent, {{"1/3", "0.333"}, {"1/3", "3333/10000"}},
            {.decimal_places = 4});
  ExpectAll(AnswerOutcome::kDifferent, {{"28\\%", "28"}}, {.percent_either_way = false});
  ExpectAll(AnswerOutcome::kEqual, {{"28\\%", "0.28"}, {"28\\%", "28\\%"}},
            {.percent_either_way = false});
  ExpectAll(AnswerOutcome::kDifferent, {{"5 cm", "5 m^2 \\text{meters}"}, {"5 cm", "5 km"}},
            {.units_must_match = true});
  ExpectAll(AnswerOutcome::kEqual, {{"5 cm", "5"}, {"5 cm", "5\\text{ cm}"}},
            {.units_must_match = true});
  ExpectAll(AnswerOutcome::kEqual, {{"10/9", "1/2 = 10/9"}, {"(1,3)", "\\{1,3\\}"}},
            {.lenient = true});
  ExpectAll(AnswerOutcome::kDifferent, {{"(3,1)", "\\{1,3\\}"}}, {.lenient = true});
}

TEST(MathCompare, UndefinedEqualsNothing) {
  ExpectAll(AnswerOutcome::kDifferent,
            {{"7", "7/0"}, {"0/0", "0/0"}, {"7", "\\log 0"}, {"7", "(-1)!"}});
}

TEST(MathCompare, SaysWhatCannotBeRead) {
  for (const std::string bad : {"",
                                "+",
                                "\\frac{1}",
                                "\\frac",
                                "(1, 2",
                                "{",
                                "}",
                                "\\left(",
                                "1 +* 2",
                                "\\unknowncommand",
                                "^",
                                "_",
                                "\\sqrt",
                                "|",
                                "\\begin{pmatrix}",
                                "\\begin{pmatrix}1&2\\\\3\\end{pmatrix}",
                                "9_9",
                                "7_1",
                                "x = ",
                                "1 2 3 +",
                                "\\text{",
                                "\\mathbb{K}"}) {
    EXPECT_EQ(Check("7", bad), AnswerOutcome::kUnreadableAnswer) << bad;
    EXPECT_EQ(Check(bad, "7"), AnswerOutcome::kUnreadableGold) << bad;
  }
}

// Around the deepest tree that is read, each construct that adds a level finds out by itself.
TEST(MathCompare, TreesAtTheLimitOfDepthAreReadOrRefused) {
  for (const std::string before :
       {"", "-", "\\sin ", "\\sin^2 ", "\\sqrt ", "2^", "1 + ", "1 \\pm ", "1 / ", "1 : ", "1 < ",
        "1, ", "\\{", "(1, ", "\\sum_{1} ", "3\\frac12 ", "\\overline "}) {
    bool read = false, refused = false;
    for (int count = kMaxDepth - 10; count <= kMaxDepth + 1; ++count) {
      std::string text = before + "x" + std::string(static_cast<size_t>(count), '!');
      if (before == "\\{") text += "\\}";
      if (before == "(1, ") text += ")";
      (Parse(text).ok() ? read : refused) = true;
    }
    EXPECT_TRUE(read && refused) << before;
  }
}

// Each of these has to be answered at once; quadratic work would take minutes.
TEST(MathCompare, HostileTextsCostLittle) {
  const auto repeat = [](const std::string& text, int count) {
    std::string result;
    for (int i = 0; i < count; ++i) result += text;
    return result;
  };
  for (const std::string& text :
       std::vector<std::string>{repeat("(", 10000),
                                repeat("{", 10000),
                                repeat("\\sqrt{", 2000),
                                repeat("-", 10000),
                                repeat("+", 10000),
                                repeat("|", 10000),
                                repeat("1,", 5000),
                                repeat("\\frac", 3000),
                                repeat("x", 10000),
                                repeat("\\text{", 1000),
                                repeat("2^", 8000),
                                repeat("\\\\", 8000),
                                repeat("!", 10000),
                                "5" + repeat("!", 100),
                                repeat("(1+", 100) + "1" + repeat(")", 100),
                                repeat("x^{99}y^{99}", 300),
                                "(x+y+z+w)^{200}",
                                "((((x+1)^9)^9)^9)^9",
                                "((10^{200})^{200})^{200}",
                                repeat("1/7+", 1000) + "1",
                                repeat("\\sqrt{2}+", 900) + "1",
                                repeat("\\pm 1 +", 900) + "1",
                                "\\{" + repeat("\\{1,2\\},", 700) + "3\\}",
                                repeat("\\sin(", 100) + "1" + repeat(")", 100)}) {
    for (const std::string& gold : std::vector<std::string>{"7", "\\{1,2\\}", text}) {
      Check(gold, text);
    }
  }
}

}  // namespace
}  // namespace ponder::math
