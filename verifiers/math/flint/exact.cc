#include "verifiers/math/flint/exact.h"

#include <calcium/ca.h>
#include <flint/fmpq.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string_view>

namespace ponder::math {
namespace {

constexpr int kMostMilliseconds = 30;

class ExactEvaluator {
 public:
  ExactEvaluator() { ca_ctx_init(context_); }

  // Neither contexts nor values are freed: the process ends behind this.
  bool Run(const Node& node, ca_t out) {
    switch (node.kind) {
      case NodeKind::kNumber: {
        fmpq_t rational;
        fmpq_init(rational);
        fmpq_set_mpq(rational, node.number.get_mpq_t());
        ca_set_fmpq(out, rational, context_);
        return true;
      }
      case NodeKind::kConstant:
        return Constant(node.name, out);
      case NodeKind::kUnit:
        return node.name != "degree" && Run(*node.children[0], out);
      case NodeKind::kPercent:
        if (!Run(*node.children[0], out)) return false;
        ca_div_ui(out, out, 100, context_);
        return true;
      case NodeKind::kNegate:
        if (!Run(*node.children[0], out)) return false;
        ca_neg(out, out, context_);
        return true;
      case NodeKind::kAdd:
      case NodeKind::kMultiply:
      case NodeKind::kDivide:
      case NodeKind::kPower:
        return Operation(node, out);
      case NodeKind::kFunction:
        return Function(node, out);
      default:
        return false;
    }
  }

  truth_t IsZero(const ca_t value) { return ca_check_is_zero(value, context_); }
  ca_ctx_struct* Context() { return context_; }

 private:
  bool Constant(std::string_view name, ca_t out) {
    if (name == "pi") {
      ca_pi(out, context_);
    } else if (name == "i") {
      ca_i(out, context_);
    } else if (name == "e") {
      ca_one(out, context_);
      ca_exp(out, out, context_);
    } else {
      return false;
    }
    return true;
  }

  bool Operation(const Node& node, ca_t out) {
    if (!Run(*node.children[0], out)) return false;
    for (size_t i = 1; i < node.children.size(); ++i) {
      ca_t operand;
      ca_init(operand, context_);
      if (!Run(*node.children[i], operand)) return false;
      if (node.kind == NodeKind::kAdd) ca_add(out, out, operand, context_);
      if (node.kind == NodeKind::kMultiply) ca_mul(out, out, operand, context_);
      if (node.kind == NodeKind::kDivide) ca_div(out, out, operand, context_);
      if (node.kind == NodeKind::kPower) ca_pow(out, out, operand, context_);
    }
    return true;
  }

  bool Function(const Node& node, ca_t out) {
    const std::string_view name = node.name;
    if (!Run(*node.children[0], out)) return false;
    if (name == "root") {
      // Odd roots of negative numbers are not principal values, see EvaluateBall.
      ca_t exponent;
      ca_init(exponent, context_);
      if (!Run(*node.children[1], exponent)) return false;
      if (ca_check_is_negative_real(out, context_) != T_FALSE) return false;
      ca_inv(exponent, exponent, context_);
      ca_pow(out, out, exponent, context_);
      return true;
    }
    if (name == "log" && node.children.size() == 2) {
      ca_t base;
      ca_init(base, context_);
      if (!Run(*node.children[1], base)) return false;
      ca_log(out, out, context_);
      ca_log(base, base, context_);
      ca_div(out, out, base, context_);
      return true;
    }
    if (node.children.size() != 1) return false;
    if (name == "ln" || name == "log") {
      ca_log(out, out, context_);
    } else if (name == "exp") {
      ca_exp(out, out, context_);
    } else if (name == "sin" || name == "cos") {
      ca_t other;
      ca_init(other, context_);
      if (name == "sin")
        ca_sin_cos(out, other, out, context_);
      else
        ca_sin_cos(other, out, out, context_);
    } else if (name == "tan") {
      ca_tan(out, out, context_);
    } else if (name == "arctan") {
      ca_atan(out, out, context_);
    } else if (name == "arcsin") {
      ca_asin(out, out, context_);
    } else if (name == "arccos") {
      ca_acos(out, out, context_);
    } else if (name == "abs") {
      ca_abs(out, out, context_);
    } else {
      return false;
    }
    return true;
  }

  ca_ctx_t context_;
};

[[noreturn]] void DecideInChild(const Node& node, int pipe) {
  ExactEvaluator evaluator;
  ca_t value;
  ca_init(value, evaluator.Context());
  char answer = '?';
  if (evaluator.Run(node, value)) {
    const truth_t truth = evaluator.IsZero(value);
    answer = truth == T_TRUE ? '=' : truth == T_FALSE ? '!' : '?';
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
