#include "verifiers/math/flint/calcium_quotient.h"

#include <calcium/fmpz_mpoly_q.h>
#include <flint/fmpq.h>
#include <stdlib.h>

struct CalciumQuotient {
  fmpz_mpoly_ctx_t context;
  fmpz_mpoly_q_t value;
};

CalciumQuotient* CalciumCreateQuotient(int64_t variables) {
  CalciumQuotient* quotient = flint_malloc(sizeof(CalciumQuotient));
  fmpz_mpoly_ctx_init(quotient->context, variables, ORD_LEX);
  fmpz_mpoly_q_init(quotient->value, quotient->context);
  return quotient;
}

void CalciumFreeQuotient(CalciumQuotient* quotient) {
  fmpz_mpoly_q_clear(quotient->value, quotient->context);
  fmpz_mpoly_ctx_clear(quotient->context);
  flint_free(quotient);
}

void CalciumSetQuotientToRational(CalciumQuotient* out, mpq_srcptr rational) {
  fmpq_t copy;
  fmpq_init(copy);
  fmpq_set_mpq(copy, rational);
  fmpz_mpoly_q_set_fmpq(out->value, copy, out->context);
  fmpq_clear(copy);
}

void CalciumSetQuotientToVariable(CalciumQuotient* out, int64_t variable) {
  fmpz_mpoly_q_gen(out->value, variable, out->context);
}

void CalciumNegateQuotient(CalciumQuotient* quotient) {
  fmpz_mpoly_q_neg(quotient->value, quotient->value, quotient->context);
}

void CalciumInvertQuotient(CalciumQuotient* quotient) {
  fmpz_mpoly_q_inv(quotient->value, quotient->value, quotient->context);
}

void CalciumAddQuotient(CalciumQuotient* left, const CalciumQuotient* right) {
  fmpz_mpoly_q_add(left->value, left->value, right->value, left->context);
}

void CalciumMultiplyQuotient(CalciumQuotient* left, const CalciumQuotient* right) {
  fmpz_mpoly_q_mul(left->value, left->value, right->value, left->context);
}

void CalciumDivideQuotient(CalciumQuotient* left, const CalciumQuotient* right) {
  fmpz_mpoly_q_div(left->value, left->value, right->value, left->context);
}

bool CalciumQuotientIsZero(const CalciumQuotient* quotient) {
  return fmpz_mpoly_q_is_zero(quotient->value, quotient->context) != 0;
}

bool CalciumQuotientsAreEqual(const CalciumQuotient* left, const CalciumQuotient* right) {
  return fmpz_mpoly_q_equal(left->value, right->value, left->context) != 0;
}

int CalciumSignOfConstantQuotient(const CalciumQuotient* quotient) {
  if (!fmpz_mpoly_q_is_fmpq(quotient->value, quotient->context)) return 0;
  fmpz_t numerator;
  fmpz_init(numerator);
  fmpz_mpoly_get_fmpz(numerator, fmpz_mpoly_q_numref(quotient->value), quotient->context);
  const int sign = fmpz_sgn(numerator);  // denominators are positive
  fmpz_clear(numerator);
  return sign;
}

int64_t CalciumTermsOfQuotient(const CalciumQuotient* quotient) {
  return fmpz_mpoly_length(fmpz_mpoly_q_numref(quotient->value), quotient->context) +
         fmpz_mpoly_length(fmpz_mpoly_q_denref(quotient->value), quotient->context);
}

int64_t CalciumCoefficientBitsOfQuotient(const CalciumQuotient* quotient) {
  return labs(fmpz_mpoly_max_bits(fmpz_mpoly_q_numref(quotient->value))) +
         labs(fmpz_mpoly_max_bits(fmpz_mpoly_q_denref(quotient->value)));
}
