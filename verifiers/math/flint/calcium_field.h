#pragma once

// Calcium's exact fields in C: algebraic numbers, and exponentials and logarithms of them. This
// stands between because Calcium 0.4's headers are C that is no C++.
//
// Nothing is ever freed: a field serves one question in a process that ends behind it (exact.h).

#include <gmp.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CalciumField CalciumField;
typedef struct CalciumValue CalciumValue;  // in the field that created it

typedef enum { kCalciumFalse, kCalciumTrue, kCalciumUnknown } CalciumTruth;

typedef enum {
  kCalciumNegate,
  kCalciumInvert,
  kCalciumExp,
  kCalciumLog,
  kCalciumSin,
  kCalciumCos,
  kCalciumTan,
  kCalciumArctan,
  kCalciumArcsin,
  kCalciumArccos,
  kCalciumAbs,
} CalciumFunction;

typedef enum {
  kCalciumAdd,
  kCalciumMultiply,
  kCalciumDivide,
  kCalciumPower,
} CalciumOperation;

CalciumField* CalciumCreateField(void);
CalciumValue* CalciumCreateValue(CalciumField* field);

void CalciumSetRational(CalciumField* field, CalciumValue* out, mpq_srcptr rational);
void CalciumSetPi(CalciumField* field, CalciumValue* out);
void CalciumSetI(CalciumField* field, CalciumValue* out);

// value = function(value). Outside a function's domain the value becomes one of Calcium's special
// values, which are never zero.
void CalciumApply(CalciumField* field, CalciumFunction function, CalciumValue* value);
// left = left operation right.
void CalciumCombine(CalciumField* field, CalciumOperation operation, CalciumValue* left,
                    const CalciumValue* right);

CalciumTruth CalciumIsZero(CalciumField* field, const CalciumValue* value);
CalciumTruth CalciumIsNegative(CalciumField* field, const CalciumValue* value);

#ifdef __cplusplus
}
#endif
