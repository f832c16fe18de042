#include "app/gpu_watch.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>

namespace ponder {
namespace {

// The few declarations of nvml.h that are used; its functions and structures never change under
// one name.
struct NvmlDevice;
struct NvmlUtilization {
  unsigned gpu_percent;
  unsigned memory_percent;
};
struct NvmlMemory {
  unsigned long long total, free, used;  // bytes
};
constexpr int kNvmlSuccess = 0;
constexpr int kNvmlTemperatureGpu = 0;
constexpr unsigned kTextBytes = 96;  // of names and versions; nvml.h asks for 96 and 80

// Functions that a library lacks are null.
struct Nvml {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*handle)(unsigned, NvmlDevice**) = nullptr;
  int (*driver_version)(char*, unsigned) = nullptr;
  int (*name)(NvmlDevice*, char*, unsigned) = nullptr;
  int (*utilization)(NvmlDevice*, NvmlUtilization*) = nullptr;
  int (*memory)(NvmlDevice*, NvmlMemory*) = nullptr;
  int (*temperature)(NvmlDevice*, int, unsigned*) = nullptr;
  int (*power)(NvmlDevice*, unsigned*) = nullptr;  // milliwatts
};

Nvml LoadFunctions(void* library) {
  Nvml nvml;
  const auto load = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
  };
  load(nvml.init, "nvmlInit_v2");
  load(nvml.shutdown, "nvmlShutdown");
  load(nvml.count, "nvmlDeviceGetCount_v2");
  load(nvml.handle, "nvmlDeviceGetHandleByIndex_v2");
  load(nvml.driver_version, "nvmlSystemGetDriverVersion");
  load(nvml.name, "nvmlDeviceGetName");
  load(nvml.utilization, "nvmlDeviceGetUtilizationRates");
  load(nvml.memory, "nvmlDeviceGetMemoryInfo");
  load(nvml.temperature, "nvmlDeviceGetTemperature");
  load(nvml.power, "nvmlDeviceGetPowerUsage");
  return nvml;
}

class NvmlWatch : public GpuWatch {
 public:
  NvmlWatch(void* library, const Nvml& nvml) : library_(library), nvml_(nvml) {}
  ~NvmlWatch() override {
    nvml_.shutdown();
    dlclose(library_);
  }

  std::string DriverVersion() const override {
    return Text([&](char* text, unsigned size) {
      return nvml_.driver_version != nullptr && nvml_.driver_version(text, size) == kNvmlSuccess;
    });
  }

  std::vector<GpuInfo> Gpus() const override {
    std::vector<GpuInfo> gpus;
    ForEach([&](unsigned, NvmlDevice* device) {
      if (device == nullptr) {
        gpus.emplace_back();
        return;
      }
      GpuInfo gpu{.name = Text([&](char* text, unsigned size) {
                    return nvml_.name != nullptr && nvml_.name(device, text, size) == kNvmlSuccess;
                  })};
      NvmlMemory memory = {};
      if (Says(nvml_.memory, device, &memory)) {
        gpu.memory_bytes = static_cast<int64_t>(memory.total);
      }
      gpus.push_back(std::move(gpu));
    });
    return gpus;
  }

  std::vector<Reading> Read(const std::string& source) const override {
    std::vector<Reading> readings;
    ForEach([&](unsigned index, NvmlDevice* device) {
      if (device == nullptr) return;
      const auto add = [&](const char* name, double value) {
        readings.push_back({source, fmt::format("gpu{}/{}", index, name), value});
      };
      NvmlUtilization utilization = {};
      if (Says(nvml_.utilization, device, &utilization)) {
        add("utilization_percent", utilization.gpu_percent);
      }
      NvmlMemory memory = {};
      if (Says(nvml_.memory, device, &memory)) {
        add("memory_used_bytes", static_cast<double>(memory.used));
        add("memory_total_bytes", static_cast<double>(memory.total));
      }
      unsigned value = 0;
      if (nvml_.temperature != nullptr &&
          nvml_.temperature(device, kNvmlTemperatureGpu, &value) == kNvmlSuccess) {
        add("temperature_celsius", value);
      }
      if (Says(nvml_.power, device, &value)) add("power_watts", value / 1000.0);
    });
    return readings;
  }

 private:
  template <typename Function, typename Value>
  static bool Says(Function function, NvmlDevice* device, Value* value) {
    return function != nullptr && function(device, value) == kNvmlSuccess;
  }

  template <typename Write>
  static std::string Text(const Write& write) {
    char text[kTextBytes + 1] = {};  // ends, whatever the library writes
    return write(text, kTextBytes) ? text : "";
  }

  // A GPU that the driver does not give is null: the others keep their numbers.
  template <typename See>
  void ForEach(const See& see) const {
    unsigned count = 0;
    if (nvml_.count(&count) != kNvmlSuccess) return;
    for (unsigned i = 0; i < std::min(count, kMostGpus); ++i) {
      NvmlDevice* device = nullptr;
      if (nvml_.handle(i, &device) != kNvmlSuccess) device = nullptr;
      see(i, device);
    }
  }

  void* const library_;
  const Nvml nvml_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GpuWatch>> GpuWatch::Open(const std::string& library) {
  void* const loaded = dlopen(library.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (loaded == nullptr) {
    const char* const error = dlerror();
    return NotFound("{}", error == nullptr ? library : error);
  }
  const Nvml nvml = LoadFunctions(loaded);
  if (nvml.init == nullptr || nvml.shutdown == nullptr || nvml.count == nullptr ||
      nvml.handle == nullptr) {
    dlclose(loaded);
    return FailedPrecondition("{} lacks functions of NVML: it is another library or an old one",
                              library);
  }
  if (const int error = nvml.init(); error != kNvmlSuccess) {
    dlclose(loaded);
    return FailedPrecondition("{} does not start (NVML error {}); `nvidia-smi` says more", library,
                              error);
  }
  return std::make_unique<NvmlWatch>(loaded, nvml);
}

}  // namespace ponder
