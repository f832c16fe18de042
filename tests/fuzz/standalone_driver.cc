// Runs a fuzz target without libFuzzer, so that every build and CI run it: seeds and a fixed number
// of mutations of them, the same ones each time. A crash or an exception is the failure; the input
// is left in a file.
//
//   TARGET                 the usual number of runs
//   TARGET --runs N        N of them
//   TARGET --seeds DIR     writes the seeds there, as a first corpus for libFuzzer
//   TARGET FILE...         these inputs only
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/fuzz/fuzz_seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace ponder {
namespace {

constexpr size_t kMostBytes = size_t{1} << 16;

// Values at which sizes, counts and offsets go wrong.
constexpr uint64_t kCorners[] = {0,          1,          0x7f,       0xff,       0x7fff,
                                 0xffff,     0x7fffffff, 0xffffffff, 1ull << 32, 1ull << 40,
                                 1ull << 62, 1ull << 63, ~0ull,      ~0ull >> 1, ~0ull - 7};

void Mutate(RandomStream& random, std::string& input) {
  const auto position = [&] {
    return static_cast<size_t>(random.Between(0, static_cast<int64_t>(input.size())));
  };
  const size_t at = position();
  switch (random.Between(0, 6)) {
    case 0:
      if (at < input.size()) input[at] ^= static_cast<char>(1 << random.Between(0, 7));
      break;
    case 1:
      if (at < input.size()) input[at] = static_cast<char>(random.Between(0, 255));
      break;
    case 2:
      input.insert(at, 1, static_cast<char>(random.Between(32, 126)));
      break;
    case 3:
      input.erase(at, static_cast<size_t>(random.Between(1, 16)));
      break;
    case 4:
      input.resize(at);
      break;
    case 5: {
      const uint64_t corner = kCorners[random.Between(0, std::ssize(kCorners) - 1)];
      const size_t bytes = size_t{1} << random.Between(0, 3);
      for (size_t i = 0; i < bytes && at + i < input.size(); ++i) {
        input[at + i] = static_cast<char>(corner >> (8 * i));
      }
      break;
    }
    default: {
      const std::string piece = input.substr(at, static_cast<size_t>(random.Between(1, 64)));
      input.insert(position(), piece);
      break;
    }
  }
  if (input.size() > kMostBytes) input.resize(kMostBytes);
}

// False where the target threw.
bool Run(const std::string& input) {
  try {
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
    return true;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "the target threw: %s\n", error.what());
    std::ofstream("fuzz-failure.bin", std::ios::binary) << input;
    std::fprintf(stderr, "its input (%zu bytes) is in fuzz-failure.bin\n", input.size());
    return false;
  }
}

std::vector<std::string> Seeds() {
  if (FuzzSeeds != nullptr) return FuzzSeeds();
  return {"", "{\"a\": [1, 2.5, \"x\"], \"b\": null}\n", "12 + 3 * (4 - 5) = \\boxed{7}"};
}

int Main(const std::vector<std::string>& arguments) {
  const std::vector<std::string> seeds = Seeds();
  int64_t runs = 4000;
  if (arguments.size() == 2 && arguments[0] == "--seeds") {
    for (size_t i = 0; i < seeds.size(); ++i) {
      std::ofstream(arguments[1] + "/seed-" + std::to_string(i), std::ios::binary) << seeds[i];
    }
    return 0;
  }
  if (arguments.size() == 2 && arguments[0] == "--runs") {
    std::from_chars(arguments[1].data(), arguments[1].data() + arguments[1].size(), runs);
  } else if (!arguments.empty()) {
    for (const std::string& path : arguments) {
      std::ifstream file(path, std::ios::binary);
      if (!Run({std::istreambuf_iterator<char>(file), {}})) return 1;
    }
    return 0;
  }
  for (const std::string& seed : seeds) {
    if (!Run(seed)) return 1;
  }
  for (int64_t run = 0; run < runs; ++run) {
    RandomStream random(MakeRandomKey(1, "fuzz"), static_cast<uint64_t>(run));
    std::string input = seeds[static_cast<size_t>(random.Between(0, std::ssize(seeds) - 1))];
    // Mostly one or two changes: many at once seldom get past the first check.
    const int64_t changes = int64_t{1} << random.Between(0, 4);
    for (int64_t i = 0; i < changes; ++i) Mutate(random, input);
    if (!Run(input)) return 1;
  }
  std::printf("%zu seeds and %lld mutations\n", seeds.size(), static_cast<long long>(runs));
  return 0;
}

}  // namespace
}  // namespace ponder

int main(int argc, char** argv) { return ponder::Main({argv + 1, argv + argc}); }
