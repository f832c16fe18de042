#pragma once

#include <cstdint>

namespace ponder {

// The tables of RUN/run.db and the statements on them. A change of the tables raises the version
// and adds its step to observe/run_database.cc.

inline constexpr int64_t kRunStoreApplicationId = 0x506f6e64;  // "Pond", in the file's header
inline constexpr int64_t kRunStoreVersion = 4;

// Blobs: observe/blob_codec.h; their lengths are in the column *_count beside them. `seed` is an
// unsigned number in SQLite's signed one. A number that is not one (NaN) is NULL.
inline constexpr char kRunStoreSchema[] = R"sql(
CREATE TABLE info (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE steps (
  id INTEGER PRIMARY KEY,
  phase TEXT NOT NULL,
  step INTEGER NOT NULL,
  policy_version INTEGER NOT NULL,
  written_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  UNIQUE (phase, step)
);

CREATE TABLE metrics (
  step_id INTEGER NOT NULL REFERENCES steps (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  value REAL,
  PRIMARY KEY (step_id, name)
) WITHOUT ROWID;

CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  step INTEGER NOT NULL,
  kind TEXT NOT NULL,
  message TEXT NOT NULL,
  written_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE TABLE groups (
  id INTEGER PRIMARY KEY,
  step_id INTEGER NOT NULL REFERENCES steps (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  task_id TEXT NOT NULL,
  task_kind TEXT NOT NULL,
  task_source TEXT NOT NULL,
  question TEXT NOT NULL,
  gold TEXT NOT NULL,
  data TEXT NOT NULL,
  solution TEXT NOT NULL,
  difficulty REAL,
  prompt TEXT NOT NULL,
  prompt_count INTEGER NOT NULL,
  prompt_ids BLOB NOT NULL,
  seed INTEGER NOT NULL,
  temperature REAL,
  UNIQUE (step_id, position)
);
CREATE INDEX groups_by_task ON groups (task_id);

CREATE TABLE completions (
  id INTEGER PRIMARY KEY,
  group_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
  sample_index INTEGER NOT NULL,
  finish TEXT NOT NULL,
  token_count INTEGER NOT NULL,
  clipped_count INTEGER NOT NULL,
  version_count INTEGER NOT NULL,
  status TEXT NOT NULL,
  score REAL,
  elapsed_us INTEGER NOT NULL,
  reward REAL,
  advantage REAL,
  extracted TEXT NOT NULL,
  reason TEXT NOT NULL,
  text TEXT NOT NULL,
  UNIQUE (group_id, sample_index)
);
CREATE INDEX completions_by_status ON completions (status);
CREATE INDEX completions_by_reward ON completions (reward);
CREATE INDEX completions_by_length ON completions (token_count);

CREATE TABLE tokens (
  completion_id INTEGER PRIMARY KEY REFERENCES completions (id) ON DELETE CASCADE,
  token_ids BLOB NOT NULL,
  sampled_mask BLOB NOT NULL,
  logprobs BLOB NOT NULL,
  entropies BLOB NOT NULL,
  clips BLOB NOT NULL,
  versions BLOB NOT NULL
);

CREATE TABLE parts (
  completion_id INTEGER NOT NULL REFERENCES completions (id) ON DELETE CASCADE,
  kind TEXT NOT NULL CHECK (kind IN ('verdict', 'reward')),
  name TEXT NOT NULL,
  value REAL,
  PRIMARY KEY (completion_id, kind, name)
) WITHOUT ROWID;

CREATE TABLE workers (
  name TEXT PRIMARY KEY,
  role TEXT NOT NULL,
  address TEXT NOT NULL,
  numerics TEXT NOT NULL,
  policy_version INTEGER NOT NULL,
  running INTEGER NOT NULL,
  waiting INTEGER NOT NULL,
  state TEXT NOT NULL,
  last_words TEXT NOT NULL,
  joined_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  seen_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  software TEXT NOT NULL DEFAULT '',
  busy REAL,
  done INTEGER NOT NULL DEFAULT 0,
  restarts INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE state (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  activity TEXT NOT NULL,
  step INTEGER NOT NULL,
  steps INTEGER NOT NULL,
  done INTEGER NOT NULL,
  total INTEGER NOT NULL,
  workers INTEGER NOT NULL,
  left_s REAL,
  detail TEXT NOT NULL,
  written_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE TABLE changes (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL);
INSERT INTO changes VALUES (1, 0);

CREATE TABLE readings (
  id INTEGER PRIMARY KEY,
  written_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  source TEXT NOT NULL,
  name TEXT NOT NULL,
  value REAL
);

CREATE TABLE blobs (key TEXT PRIMARY KEY, size INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;

CREATE VIEW samples AS
SELECT c.id AS sample, s.phase, s.step, g.task_id, c.sample_index, c.status, c.reward, c.advantage,
       c.token_count, c.finish, g.gold, c.extracted, g.question, c.text
FROM completions c JOIN groups g ON g.id = c.group_id JOIN steps s ON s.id = g.step_id;
)sql";

inline constexpr char kUpsertInfo[] =
    "INSERT INTO info (key, value) VALUES (?, ?) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value";

inline constexpr char kInsertStep[] =
    "INSERT INTO steps (phase, step, policy_version) VALUES (?, ?, ?)";

inline constexpr char kInsertMetric[] =
    "INSERT INTO metrics (step_id, name, value) VALUES (?, ?, ?)";

inline constexpr char kInsertEvent[] = "INSERT INTO events (step, kind, message) VALUES (?, ?, ?)";

inline constexpr char kInsertGroup[] =
    "INSERT INTO groups (step_id, position, task_id, task_kind, task_source, question, gold, data, "
    "solution, difficulty, prompt, prompt_count, prompt_ids, seed, temperature) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

inline constexpr char kInsertCompletion[] =
    "INSERT INTO completions (group_id, sample_index, finish, token_count, clipped_count, "
    "version_count, status, score, elapsed_us, reward, advantage, extracted, reason, text) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

inline constexpr char kInsertTokens[] =
    "INSERT INTO tokens (completion_id, token_ids, sampled_mask, logprobs, entropies, clips, "
    "versions) VALUES (?, ?, ?, ?, ?, ?, ?)";

inline constexpr char kUpsertWorker[] =
    "INSERT INTO workers (name, role, software, address, numerics, policy_version, running, "
    "waiting, busy, done, restarts, state, last_words) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
    "role = excluded.role, software = excluded.software, address = excluded.address, "
    "numerics = excluded.numerics, policy_version = excluded.policy_version, "
    "running = excluded.running, waiting = excluded.waiting, busy = excluded.busy, "
    "done = excluded.done, restarts = excluded.restarts, state = excluded.state, "
    "last_words = excluded.last_words, seen_at = excluded.seen_at";

inline constexpr char kLoseWorkers[] =
    "UPDATE workers SET state = 'lost', last_words = ?, running = 0, waiting = 0 "
    "WHERE state NOT IN ('lost', 'left')";

// Those that are here, then those that have gone last.
inline constexpr char kSelectWorkers[] =
    "SELECT name, role, software, address, numerics, policy_version, running, waiting, busy, done, "
    "restarts, state, last_words, joined_at, seen_at FROM workers "
    "ORDER BY state IN ('lost', 'left'), seen_at DESC LIMIT ?";

inline constexpr char kReplaceState[] =
    "INSERT OR REPLACE INTO state (id, activity, step, steps, done, total, workers, left_s, "
    "detail) "
    "VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)";

inline constexpr char kCountChange[] = "UPDATE changes SET count = count + 1";

inline constexpr char kVocabularyKey[] = "vocabulary";

inline constexpr char kInsertReading[] =
    "INSERT INTO readings (source, name, value) VALUES (?, ?, ?)";

inline constexpr char kUpsertBlob[] =
    "INSERT INTO blobs (key, size, value) VALUES (?, ?, ?) "
    "ON CONFLICT (key) DO UPDATE SET size = excluded.size, value = excluded.value";

inline constexpr char kInsertPart[] =
    "INSERT INTO parts (completion_id, kind, name, value) VALUES (?, ?, ?, ?)";

inline constexpr char kSelectMetrics[] =
    "SELECT s.step, m.name, m.value FROM steps s JOIN metrics m ON m.step_id = s.id "
    "WHERE s.phase = ? ORDER BY s.step, m.name";

inline constexpr char kSelectCompletions[] =
    "SELECT c.id, g.id, s.phase, s.step, g.task_id, g.task_kind, g.task_source, g.question, "
    "g.gold, g.data, g.solution, g.difficulty, g.prompt, g.prompt_count, g.prompt_ids, g.seed, "
    "g.temperature, c.sample_index, c.finish, c.text, c.token_count, t.token_ids, t.sampled_mask, "
    "t.logprobs, t.entropies, t.clips, c.version_count, t.versions, c.status, c.score, "
    "c.extracted, c.reason, c.elapsed_us, c.reward, c.advantage "
    "FROM completions c JOIN groups g ON g.id = c.group_id JOIN steps s ON s.id = g.step_id "
    "LEFT JOIN tokens t ON t.completion_id = c.id";

// Phase, then what the part's name begins and ends with, then the limit.
inline constexpr char kWhereMarked[] =
    "WHERE s.phase = ? AND EXISTS (SELECT 1 FROM parts p WHERE p.completion_id = c.id AND "
    "p.kind = 'verdict' AND p.value = 1 AND p.name GLOB ? || '*' || ?) "
    "ORDER BY s.step, g.position, c.id LIMIT ?";

inline constexpr char kSelectParts[] =
    "SELECT kind, name, value FROM parts WHERE completion_id = ?";

}  // namespace ponder
