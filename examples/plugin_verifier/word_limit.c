/* A verifier for Ponder in a shared object: the answer is what follows the last "Answer:", and it
 * must be the gold in at most ten words of explanation before it for the full score.
 *
 *     cc -shared -fPIC -O2 -Iverifiers/plugin examples/plugin_verifier/word_limit.c -o
 * word_limit.so
 */
#include <stdio.h>
#include <string.h>

#include "ponder_verifier.h"

static const char kMark[] = "Answer:";

static int IsSpace(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

static PonderText Trimmed(PonderText text) {
  while (text.size > 0 && IsSpace(text.data[0])) ++text.data, --text.size;
  while (text.size > 0 && IsSpace(text.data[text.size - 1])) --text.size;
  return text;
}

static int Words(PonderText text) {
  int words = 0;
  for (size_t i = 0; i < text.size; ++i) {
    words += !IsSpace(text.data[i]) && (i == 0 || IsSpace(text.data[i - 1]));
  }
  return words;
}

static void Judge(void* self, const PonderItem* item, PonderVerdict* verdict) {
  (void)self;
  const size_t mark = sizeof(kMark) - 1;
  size_t end = item->completion.size; /* of the text before the last mark */
  while (end >= mark && memcmp(item->completion.data + end - mark, kMark, mark) != 0) --end;
  if (end < mark) {
    verdict->status = PONDER_NO_ANSWER;
    snprintf(verdict->reason, sizeof(verdict->reason), "no \"%s\"", kMark);
    return;
  }
  const PonderText before = {item->completion.data, end - mark};
  const PonderText answer =
      Trimmed((PonderText){item->completion.data + end, item->completion.size - end});
  const PonderText gold = Trimmed(item->gold);
  const int right = answer.size == gold.size && memcmp(answer.data, gold.data, gold.size) == 0;
  const int words = Words(before);

  verdict->status = right ? PONDER_CORRECT : PONDER_WRONG;
  verdict->score = !right ? 0.0 : words <= 10 ? 1.0 : 0.5;
  verdict->part_count = 1;
  snprintf(verdict->parts[0].name, sizeof(verdict->parts[0].name), "words");
  verdict->parts[0].value = words;
  const size_t shown = answer.size < PONDER_TEXT_BYTES ? answer.size : PONDER_TEXT_BYTES - 1;
  memcpy(verdict->extracted, answer.data, shown); /* the rest is zeros already */
  snprintf(verdict->reason, sizeof(verdict->reason), "%d words before the answer", words);
}

const PonderVerifierPlugin* ponder_verifier_plugin(void) {
  static const PonderVerifierPlugin plugin = {.abi_version = PONDER_VERIFIER_ABI_VERSION,
                                              .thread_safe = 1,
                                              .name = "word-limit",
                                              .version = "1",
                                              .judge = Judge};
  return &plugin;
}
