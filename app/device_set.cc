#include "app/device_set.h"

#include <absl/strings/str_split.h>

#include <algorithm>
#include <string>

#include "app/device.h"
#include "app/machine_report.h"
#include "base/check.h"

namespace ponder {

absl::StatusOr<std::vector<TrainerDevice>> DeviceSet::Join(int64_t count) {
  PONDER_CHECK(count >= 1 && count <= std::ssize(backends));
  std::vector<kernels::Backend*> pointers;
  for (int64_t i = 0; i < count; ++i) pointers.push_back(backends[static_cast<size_t>(i)].get());
  std::vector<TrainerDevice> devices;
  for (kernels::Backend* backend : pointers) devices.push_back({backend});
  if (count == 1) return devices;
  auto& collectives = joined_[count];
  if (collectives.empty()) {
    PONDER_ASSIGN_OR_RETURN(collectives, kernels::CreateCollectives(pointers));
  }
  for (size_t i = 0; i < devices.size(); ++i) devices[i].collective = collectives[i].get();
  return devices;
}

absl::StatusOr<DeviceSet> OpenDevices(const SessionOptions& options) {
  PONDER_ASSIGN_OR_RETURN(const std::vector<std::optional<int>> parsed,
                          ParseDevices(options.device));
  const auto count = std::ssize(parsed);
  SessionOptions one = options;
  if (count > 1) {
    const int64_t threads = options.threads > 0 ? options.threads : UsableCores();
    one.threads = std::max<int64_t>(1, threads / count);
  }
  DeviceSet devices;
  for (const std::string& name : std::vector<std::string>(absl::StrSplit(options.device, ','))) {
    one.device = name;
    PONDER_ASSIGN_OR_RETURN(std::unique_ptr<kernels::Backend> backend, CreateBackend(one));
    devices.backends.push_back(std::move(backend));
    one.warn = nullptr;  // once is enough, in the caller's thread
  }
  return devices;
}

}  // namespace ponder
