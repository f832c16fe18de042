#include "verifiers/math/flint/calcium_field.h"

#include <calcium/ca.h>
#include <flint/fmpq.h>

struct CalciumField {
  ca_ctx_t context;
};
struct CalciumValue {
  ca_t value;
};

static CalciumTruth Truth(truth_t truth) {
  return truth == T_TRUE ? kCalciumTrue : truth == T_FALSE ? kCalciumFalse : kCalciumUnknown;
}

CalciumField* CalciumCreateField(void) {
  CalciumField* field = flint_malloc(sizeof(CalciumField));
  ca_ctx_init(field->context);
  return field;
}

CalciumValue* CalciumCreateValue(CalciumField* field) {
  CalciumValue* value = flint_malloc(sizeof(CalciumValue));
  ca_init(value->value, field->context);
  return value;
}

void CalciumSetRational(CalciumField* field, CalciumValue* out, mpq_srcptr rational) {
  fmpq_t copy;
  fmpq_init(copy);
  fmpq_set_mpq(copy, rational);
  ca_set_fmpq(out->value, copy, field->context);
  fmpq_clear(copy);
}

void CalciumSetPi(CalciumField* field, CalciumValue* out) { ca_pi(out->value, field->context); }

void CalciumSetI(CalciumField* field, CalciumValue* out) { ca_i(out->value, field->context); }

void CalciumApply(CalciumField* field, CalciumFunction function, CalciumValue* value) {
  ca_ptr x = value->value;
  ca_ctx_struct* context = field->context;
  ca_t unused;
  switch (function) {
    case kCalciumNegate:
      ca_neg(x, x, context);
      break;
    case kCalciumInvert:
      ca_inv(x, x, context);
      break;
    case kCalciumExp:
      ca_exp(x, x, context);
      break;
    case kCalciumLog:
      ca_log(x, x, context);
      break;
    case kCalciumSin:
      ca_init(unused, context);
      ca_sin_cos(x, unused, x, context);
      break;
    case kCalciumCos:
      ca_init(unused, context);
      ca_sin_cos(unused, x, x, context);
      break;
    case kCalciumTan:
      ca_tan(x, x, context);
      break;
    case kCalciumArctan:
      ca_atan(x, x, context);
      break;
    case kCalciumArcsin:
      ca_asin(x, x, context);
      break;
    case kCalciumArccos:
      ca_acos(x, x, context);
      break;
    case kCalciumAbs:
      ca_abs(x, x, context);
      break;
  }
}

void CalciumCombine(CalciumField* field, CalciumOperation operation, CalciumValue* left,
                    const CalciumValue* right) {
  ca_ptr x = left->value;
  switch (operation) {
    case kCalciumAdd:
      ca_add(x, x, right->value, field->context);
      break;
    case kCalciumMultiply:
      ca_mul(x, x, right->value, field->context);
      break;
    case kCalciumDivide:
      ca_div(x, x, right->value, field->context);
      break;
    case kCalciumPower:
      ca_pow(x, x, right->value, field->context);
      break;
  }
}

CalciumTruth CalciumIsZero(CalciumField* field, const CalciumValue* value) {
  return Truth(ca_check_is_zero(value->value, field->context));
}

CalciumTruth CalciumIsNegative(CalciumField* field, const CalciumValue* value) {
  return Truth(ca_check_is_negative_real(value->value, field->context));
}
