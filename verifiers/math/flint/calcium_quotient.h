#pragma once

// Quotients of polynomials with whole coefficients, in canonical form: Calcium's fmpz_mpoly_q in C.
// This stands between because Calcium 0.4's headers are C that is no C++. All functions that
// combine quotients ask for the same number of variables.

#include <gmp.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CalciumQuotient CalciumQuotient;

CalciumQuotient* CalciumCreateQuotient(int64_t variables);  // 1 or more; the quotient is 0
void CalciumFreeQuotient(CalciumQuotient* quotient);

void CalciumSetQuotientToRational(CalciumQuotient* out, mpq_srcptr rational);
void CalciumSetQuotientToVariable(CalciumQuotient* out, int64_t variable);

void CalciumNegateQuotient(CalciumQuotient* quotient);
void CalciumInvertQuotient(CalciumQuotient* quotient);  // not 0
// left = left + right, and so on.
void CalciumAddQuotient(CalciumQuotient* left, const CalciumQuotient* right);
void CalciumMultiplyQuotient(CalciumQuotient* left, const CalciumQuotient* right);
void CalciumDivideQuotient(CalciumQuotient* left, const CalciumQuotient* right);  // right is not 0

bool CalciumQuotientIsZero(const CalciumQuotient* quotient);
bool CalciumQuotientsAreEqual(const CalciumQuotient* left, const CalciumQuotient* right);
// 1 or -1 for a constant other than 0, else 0.
int CalciumSignOfConstantQuotient(const CalciumQuotient* quotient);

// Of numerator and denominator together.
int64_t CalciumTermsOfQuotient(const CalciumQuotient* quotient);
// Of the largest coefficients of numerator and denominator together.
int64_t CalciumCoefficientBitsOfQuotient(const CalciumQuotient* quotient);

#ifdef __cplusplus
}
#endif
