// What a run does now, and on what.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "observe/dashboard/routes.h"
#include "observe/dashboard/run_json.h"

namespace ponder {
namespace {

using nlohmann::json;

constexpr int64_t kAnyId = int64_t{1} << 53;
constexpr int64_t kMostReadings = 20000;
constexpr size_t kLogLines = 200;
constexpr int64_t kLogBytes = int64_t{1} << 17;  // of the end, where the lines are looked for

struct LogEnd {
  std::vector<std::string> lines;
  int64_t bytes = 0;  // of the whole log
};

LogEnd ReadLogEnd(const std::string& path) {
  LogEnd end;
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return end;
  struct stat file = {};
  std::string text;
  if (fstat(descriptor, &file) == 0 && S_ISREG(file.st_mode)) {
    end.bytes = file.st_size;
    const int64_t begin = std::max<int64_t>(0, end.bytes - kLogBytes);
    text.resize(static_cast<size_t>(end.bytes - begin));
    const ssize_t got = pread(descriptor, text.data(), text.size(), begin);
    text.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    // Not the rest of a line.
    if (begin > 0) text.erase(0, std::min(text.find('\n'), text.size() - 1) + 1);
  }
  close(descriptor);
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t line_end = rest.find('\n');
    end.lines.emplace_back(rest.substr(0, line_end));
    rest = line_end == std::string_view::npos ? std::string_view() : rest.substr(line_end + 1);
  }
  if (end.lines.size() > kLogLines) {
    end.lines.erase(end.lines.begin(), end.lines.end() - kLogLines);
  }
  return end;
}

}  // namespace

RouteAnswer RunsRoute(RunList& runs, ChangeCache<RunOverview>& overviews, QueryReader& query) {
  PONDER_RETURN_IF_ERROR(query.Check());
  json list = json::array();
  for (const ServedRun& run : runs.Runs()) {
    const absl::StatusOr<RunOverview> read =
        overviews.Get(run, [&] { return ReadRunOverview(runs, run); });
    const RunOverview overview = read.ok() ? *read : UnreadRun(run, read.status());
    list.push_back({{"id", run.id},
                    {"name", run.name},
                    {"path", run.path},
                    {"status", overview.status},
                    {"text", overview.text},
                    {"activity", overview.state.activity},
                    {"step", overview.state.step},
                    {"steps", overview.state.steps},
                    {"last_step", overview.last_step},
                    {"started_at", overview.started_at},
                    {"written_at", overview.written_at},
                    {"reward", overview.rewards},
                    {"reward_last", overview.last_reward},
                    {"model", overview.model},
                    {"size_bytes", overview.store_bytes}});
  }
  return JsonResponse({{"runs", std::move(list)}});
}

RouteAnswer StateRoute(const RunRequest& request) {
  PONDER_RETURN_IF_ERROR(request.query.Check());
  // Read first: what is written meanwhile counts as not yet seen.
  PONDER_ASSIGN_OR_RETURN(const int64_t version, request.reader.ChangeCount());
  PONDER_ASSIGN_OR_RETURN(const RunOverview overview, ReadRunState(request.run, request.reader));
  const RunState& state = overview.state;
  return JsonResponse({{"id", request.run.id},
                       {"status", overview.status},
                       {"text", overview.text},
                       {"activity", state.activity},
                       {"step", state.step},
                       {"steps", state.steps},
                       {"done", state.done},
                       {"total", state.total},
                       {"workers", state.workers},
                       {"left_s", state.left_s},
                       {"detail", state.detail},
                       {"last_step", overview.last_step},
                       {"version", version}});
}

RouteAnswer SystemRoute(const RunRequest& request) {
  const int64_t after = request.query.Integer("after", 0, kAnyId).value_or(0);
  PONDER_RETURN_IF_ERROR(request.query.Check());
  PONDER_ASSIGN_OR_RETURN(const std::vector<WorkerRecord> workers, request.reader.Workers());
  PONDER_ASSIGN_OR_RETURN(const std::vector<TimedReading> readings,
                          request.reader.Readings(after, kMostReadings));
  json worker_list = json::array();
  for (const WorkerRecord& worker : workers) {
    worker_list.push_back({{"name", worker.name},
                           {"role", worker.role},
                           {"software", worker.software},
                           {"address", worker.address},
                           {"numerics", worker.numerics},
                           {"policy_version", worker.policy_version},
                           {"running", worker.running},
                           {"waiting", worker.waiting},
                           {"busy", worker.busy},
                           {"done", worker.done},
                           {"restarts", worker.restarts},
                           {"state", worker.state},
                           {"here", worker.IsHere()},
                           {"last_words", worker.last_words},
                           {"joined_at", worker.joined_at},
                           {"seen_at", worker.seen_at}});
  }
  json rows = json::array();
  for (const TimedReading& reading : readings) {
    rows.push_back(
        json::array({reading.id, reading.written_at, reading.source, reading.name, reading.value}));
  }
  const LogEnd log = ReadLogEnd(request.run.path + "/log.txt");
  return JsonResponse(
      {{"workers", std::move(worker_list)},
       {"readings",
        {{"last", readings.empty() ? after : readings.back().id}, {"rows", std::move(rows)}}},
       {"log", log.lines},
       {"log_bytes", log.bytes}});
}

}  // namespace ponder
