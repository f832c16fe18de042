/* The C interface of a verifier in a shared object. A plugin includes this file alone, defines
 * ponder_verifier_plugin, and is named by `plugin = "PATH"` in a configuration or by --plugin.
 *
 * It runs in a process of its own beside a run (`ponder verifier`): a crash costs the calls under
 * way, which are made again, and a call that hangs ends with its deadline. */
#ifndef PONDER_VERIFIER_H_
#define PONDER_VERIFIER_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised by a change that old plugins do not survive; Ponder refuses a plugin of another version.
 */
#define PONDER_VERIFIER_ABI_VERSION 1

/* Text that the caller owns: `size` bytes, not ended by a zero, not always UTF-8. */
typedef struct {
  const char* data;
  size_t size;
} PonderText;

typedef struct {
  PonderText id, kind, source, question, gold;
  PonderText data; /* a JSON object, or empty */
  double difficulty;
  PonderText completion; /* what the model wrote: it may hold anything */
} PonderItem;

typedef enum {
  PONDER_UNSPECIFIED = 0, /* becomes INTERNAL */
  PONDER_CORRECT = 1,
  PONDER_WRONG = 2,
  PONDER_NO_ANSWER = 3,    /* nothing counts as an answer */
  PONDER_UNPARSEABLE = 4,  /* an answer was found but could not be read */
  PONDER_INVALID_GOLD = 5, /* the task is at fault */
  PONDER_TIMEOUT = 6,      /* judging ran too long by the answer's own fault */
  PONDER_INTERNAL = 7      /* the verifier failed: judged again, never a reward */
} PonderStatus;

#define PONDER_TEXT_BYTES 512
#define PONDER_NAME_BYTES 32
#define PONDER_MAX_PARTS 16

typedef struct {
  char name[PONDER_NAME_BYTES]; /* ended by a zero */
  double value;                 /* finite */
} PonderPart;

/* Comes filled with zeros; the plugin fills in what it has. */
typedef struct {
  int32_t status; /* PonderStatus */
  int32_t part_count;
  double score;                      /* 0 to 1 */
  char extracted[PONDER_TEXT_BYTES]; /* the answer as found, ended by a zero */
  char reason[PONDER_TEXT_BYTES];    /* one sentence for people, ended by a zero */
  PonderPart parts[PONDER_MAX_PARTS];
} PonderVerdict;

typedef struct {
  uint32_t abi_version; /* PONDER_VERIFIER_ABI_VERSION */
  uint32_t thread_safe; /* 1: judge may be called by several threads at once */
  const char* name;     /* for people and metrics; both live as long as the plugin */
  const char* version;  /* recorded with each run */

  /* Called once. Returns what judge and destroy get; 0 with a sentence in `error` (at most
   * PONDER_TEXT_BYTES) where it cannot work. May be 0: judge then gets 0. */
  void* (*create)(char* error);
  /* Judges one item; must not throw. */
  void (*judge)(void* self, const PonderItem* item, PonderVerdict* verdict);
  /* Called once at the end. May be 0. */
  void (*destroy)(void* self);
} PonderVerifierPlugin;

/* The one symbol that a plugin defines. The result lives as long as the plugin. */
__attribute__((visibility("default"))) const PonderVerifierPlugin* ponder_verifier_plugin(void);

#ifdef __cplusplus
}
#endif

#endif /* PONDER_VERIFIER_H_ */
