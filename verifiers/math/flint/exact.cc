#include "verifiers/math/flint/exact.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "verifiers/math/flint/calcium_field.h"

namespace ponder::math {
namespace {

constexpr int kMostMilliseconds = 30;

constexpr auto kFunctions = std::to_array<std::pair<std::string_view, CalciumFunction>>({
    {"ln", kCalciumLog},
    {"log", kCalciumLog},
    {"exp", kCalciumExp},
    {"sin", kCalciumSin},
    {"cos", kCalciumCos},
    {"tan", kCalciumTan},
    {"arctan", kCalciumArctan},
    {"arcsin", kCalciumArcsin},
    {"arccos", kCalciumArccos},
    {"abs", kCalciumAbs},
});

// A tree's value. Neither the field nor values are freed: the process ends behind this.
class ExactEvaluator {
 public:
  CalciumValue* NewValue() { return CalciumCreateValue(field_); }

  bool Run(const Node& node, CalciumValue* out) {
    switch (node.kind) {
      case NodeKind::kNumber:
        CalciumSetRational(field_, out, node.number.get_mpq_t());
        return true;
      case NodeKind::kConstant:
        return Constant(node.name, out);
      case NodeKind::kUnit:
        return node.name != "degree" && Run(*node.children[0], out);
      case NodeKind::kPercent: {
        if (!Run(*node.children[0], out)) return false;
        CalciumValue* hundred = NewValue();
        CalciumSetRational(field_, hundred, mpq_class(100).get_mpq_t());
        CalciumCombine(field_, kCalciumDivide, out, hundred);
        return true;
      }
      case NodeKind::kNegate:
        if (!Run(*node.children[0], out)) return false;
        CalciumApply(field_, kCalciumNegate, out);
        return true;
      case NodeKind::kAdd:
        return Operation(node, kCalciumAdd, out);
      case NodeKind::kMultiply:
        return Operation(node, kCalciumMultiply, out);
      case NodeKind::kDivide:
        return Operation(node, kCalciumDivide, out);
      case NodeKind::kPower:
        return Operation(node, kCalciumPower, out);
      case NodeKind::kFunction:
        return Function(node, out);
      default:
        return false;
    }
  }

  CalciumTruth IsZero(const CalciumValue* value) { return CalciumIsZero(field_, value); }

 private:
  bool Constant(std::string_view name, CalciumValue* out) {
    if (name == "pi") {
      CalciumSetPi(field_, out);
    } else if (name == "i") {
      CalciumSetI(field_, out);
    } else if (name == "e") {
      CalciumSetRational(field_, out, mpq_class(1).get_mpq_t());
      CalciumApply(field_, kCalciumExp, out);
    } else {
      return false;
    }
    return true;
  }

  bool Operation(const Node& node, CalciumOperation operation, CalciumValue* out) {
    if (!Run(*node.children[0], out)) return false;
    for (size_t i = 1; i < node.children.size(); ++i) {
      CalciumValue* operand = NewValue();
      if (!Run(*node.children[i], operand)) return false;
      CalciumCombine(field_, operation, out, operand);
    }
    return true;
  }

  bool Function(const Node& node, CalciumValue* out) {
    if (!Run(*node.children[0], out)) return false;
    if (node.name == "root") {
      // Odd roots of negative numbers are not principal values, see EvaluateBall.
      CalciumValue* exponent = NewValue();
      if (!Run(*node.children[1], exponent)) return false;
      if (CalciumIsNegative(field_, out) != kCalciumFalse) return false;
      CalciumApply(field_, kCalciumInvert, exponent);
      CalciumCombine(field_, kCalciumPower, out, exponent);
      return true;
    }
    if (node.name == "log" && node.children.size() == 2) {
      CalciumValue* base = NewValue();
      if (!Run(*node.children[1], base)) return false;
      CalciumApply(field_, kCalciumLog, out);
      CalciumApply(field_, kCalciumLog, base);
      CalciumCombine(field_, kCalciumDivide, out, base);
      return true;
    }
    if (node.children.size() != 1) return false;
    for (const auto& [name, function] : kFunctions) {
      if (name != node.name) continue;
      CalciumApply(field_, function, out);
      return true;
    }
    return false;
  }

  CalciumField* field_ = CalciumCreateField();
};

[[noreturn]] void DecideInChild(const Node& node, int pipe) {
  ExactEvaluator evaluator;
  CalciumValue* value = evaluator.NewValue();
  char answer = '?';
  if (evaluator.Run(node, value)) {
    const CalciumTruth truth = evaluator.IsZero(value);
    answer = truth == kCalciumTrue ? '=' : truth == kCalciumFalse ? '!' : '?';
  }
  if (write(pipe, &answer, 1) != 1) _exit(1);
  _exit(0);
}

}  // namespace

Truth IsExactlyZero(const Node& node) {
  int pipes[2];
  if (pipe(pipes) != 0) return Truth::kUnknown;
  const pid_t child = fork();
  if (child == 0) {
    close(pipes[0]);
    DecideInChild(node, pipes[1]);
  }
  close(pipes[1]);
  Truth truth = Truth::kUnknown;
  if (child > 0) {
    pollfd event = {.fd = pipes[0], .events = POLLIN, .revents = 0};
    char answer = '?';
    if (poll(&event, 1, kMostMilliseconds) == 1 && read(pipes[0], &answer, 1) == 1) {
      truth = answer == '=' ? Truth::kTrue : answer == '!' ? Truth::kFalse : Truth::kUnknown;
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  close(pipes[0]);
  return truth;
}

}  // namespace ponder::math
