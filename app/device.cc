#include "app/device.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>

#include <algorithm>

namespace ponder {

absl::StatusOr<std::optional<int>> ParseDevice(const std::string& name) {
  constexpr int kMostGpus = 1024;
  if (name == "cpu") return std::nullopt;
  if (name == "cuda") return 0;
  int number = 0;
  if (name.starts_with("cuda:") && absl::SimpleAtoi(name.substr(5), &number) && number >= 0 &&
      number < kMostGpus) {
    return number;
  }
  return InvalidArgument("expected cpu, cuda or cuda:N (a GPU's number) as device, found \"{}\"",
                         name);
}

absl::StatusOr<std::vector<std::optional<int>>> ParseDevices(const std::string& list) {
  constexpr size_t kMostDevices = 64;
  const std::vector<std::string> names = absl::StrSplit(list, ',');
  if (names.size() > kMostDevices)
    return InvalidArgument("expected at most {} devices, found {}", kMostDevices, names.size());
  std::vector<std::optional<int>> devices;
  for (const std::string& name : names) {
    PONDER_ASSIGN_OR_RETURN(const std::optional<int> device, ParseDevice(name));
    if (!devices.empty() && device.has_value() != devices.front().has_value())
      return InvalidArgument("expected devices of one kind, found \"{}\"", list);
    if (device.has_value() && std::ranges::count(devices, device) > 0)
      return InvalidArgument("expected each GPU once, found GPU {} twice in \"{}\"", *device, list);
    devices.push_back(device);
  }
  return devices;
}

}  // namespace ponder
