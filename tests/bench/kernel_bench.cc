#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/thread_pool.h"
#include "kernels/backend.h"
#include "kernels/cpu/probe.h"

// Time of the hot kernels at the shapes of real models, each beside a limit of this machine that is
// probed in the same run: multiply-adds of the instruction set that the kernel uses, or bytes read
// from memory.
namespace ponder::kernels {
namespace {

// Seconds by the wall, or of processor time (shared out over the threads): the latter on a machine
// that others use too.
bool use_cpu_time = false;
double Now(int64_t threads) {
  timespec time = {};
  clock_gettime(use_cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  const double seconds =
      static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  return use_cpu_time ? seconds / static_cast<double>(threads) : seconds;
}

struct Timing {
  double median = 0;  // seconds
  double fastest = 0;
  double slowest = 0;
};

Timing Measure(const std::function<void()>& body, int repeats, int64_t threads) {
  body();
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    const double start = Now(threads);
    body();
    seconds.push_back(Now(threads) - start);
  }
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], seconds.front(), seconds.back()};
}

// Keeps what a benchmark computes alive.
volatile float sink = 0;

class Bench {
 public:
  Bench(Backend& backend, DType dtype, const MachineLimits& limits, int repeats)
      : backend_(backend), dtype_(dtype), limits_(limits), repeats_(repeats) {}

  void Heading(const std::string& model) {
    std::printf("\n%s, %s, %s, %ld threads\n", model.c_str(), backend_.Info().isa.c_str(),
                std::string(ToString(dtype_)).c_str(), static_cast<long>(backend_.Info().threads));
  }

  void Flops(const std::string& name, double flops, const std::function<void()>& body) {
    const double limit = dtype_ == DType::kBF16 ? limits_.bf16_flops : limits_.f32_flops;
    Row(name, flops, limit, "GFLOP/s", body);
  }
  // In fp32, but on tiles.
  void AttentionFlops(const std::string& name, double flops, const std::function<void()>& body) {
    if (backend_.Info().isa == "amx") return Flops(name, flops, body);
    Row(name, flops, limits_.f32_flops, "GFLOP/s", body);
  }
  void Bytes(const std::string& name, double bytes, const std::function<void()>& body) {
    Row(name, bytes, limits_.read_bytes, "GB/s", body);
  }

  float* Floats(int64_t count, float scale = 1) {
    float* p = Take<float>(count);
    RandomStream random(MakeRandomKey(1, "bench"));
    for (int64_t i = 0; i < count; ++i) p[i] = static_cast<float>(random.Uniform() - 0.5) * scale;
    return p;
  }
  void* Act(int64_t rows, int64_t width) {
    const int64_t count = rows * PaddedInputs(width);
    void* p = Take<char>(count * SizeOf(dtype_));
    for (int64_t i = 0; i < count; ++i) {
      const float value =
          i % PaddedInputs(width) < width ? static_cast<float>(i % 17) / 16 - 0.5f : 0;
      if (dtype_ == DType::kF32) {
        static_cast<float*>(p)[i] = value;
      } else {
        static_cast<BF16*>(p)[i] = ToBF16(value);
      }
    }
    return p;
  }
  PackedMatrix Matrix(int64_t outputs, int64_t inputs) {
    const PackedMatrix w = {Take<char>(PackedBytes(outputs, inputs, dtype_)), dtype_, outputs,
                            inputs};
    std::vector<float> values(outputs * inputs);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 23) / 22 - 0.5f;
    backend_.Pack(values.data(), w);
    return w;
  }
  template <typename T>
  T* Take(int64_t count) {
    buffers_.push_back(*DeviceBuffer::Create(backend_, count * static_cast<int64_t>(sizeof(T))));
    return buffers_.back().As<T>();
  }
  void Forget() { buffers_.clear(); }

  Backend& Cpu() { return backend_; }
  DType Type() const { return dtype_; }

 private:
  void Row(const std::string& name, double work, double limit, const char* unit,
           const std::function<void()>& body) {
    const Timing t = Measure(body, repeats_, backend_.Info().threads);
    std::printf("  %-44s %9.3f ms (%.3f - %.3f) %8.1f %-8s", name.c_str(), t.median * 1e3,
                t.fastest * 1e3, t.slowest * 1e3, work / t.median * 1e-9, unit);
    if (limit > 0) std::printf(" %5.1f %% of %.1f", 100 * work / t.median / limit, limit * 1e-9);
    std::printf("\n");
    std::fflush(stdout);
  }

  Backend& backend_;
  DType dtype_;
  MachineLimits limits_;
  int repeats_;
  std::vector<DeviceBuffer> buffers_;
};

struct ModelShape {
  const char* name;
  int64_t d, heads, kv_heads, e, f, v;
};
const ModelShape kModels[] = {{"SmolLM2-135M", 576, 9, 3, 64, 1536, 49152},
                              {"Qwen2.5-0.5B", 896, 14, 2, 64, 4864, 151936}};

void BenchProducts(Bench& bench, const ModelShape& m) {
  struct Product {
    const char* name;
    int64_t outputs, inputs;
  };
  const Product products[] = {{"qkv", (m.heads + 2 * m.kv_heads) * m.e, m.d},
                              {"gate+up", 2 * m.f, m.d},
                              {"down", m.d, m.f}};
  for (const Product& p : products) {
    for (const int64_t rows : {1, 4, 8, 12, 16, 32, 64, 256, 2048}) {
      // Copies that no cache holds together, so that few rows meet weights in memory as decoding
      // does.
      const int64_t copies =
          rows <= 64
              ? std::max<int64_t>(1, (128 << 20) / PackedBytes(p.outputs, p.inputs, bench.Type()))
              : 1;
      std::vector<PackedMatrix> w;
      for (int64_t i = 0; i < copies; ++i) w.push_back(bench.Matrix(p.outputs, p.inputs));
      const void* x = bench.Act(rows, p.inputs);
      float* y = bench.Take<float>(rows * p.outputs);
      const std::string name = std::string(p.name) + " forward, " + std::to_string(rows) + " rows";
      const auto run = [&] {
        for (const PackedMatrix& matrix : w)
          bench.Cpu().Linear({.x = x, .w = matrix, .y = y, .rows = rows});
      };
      const double count = static_cast<double>(copies);
      if (rows <= 4) {
        bench.Bytes(
            name, count * static_cast<double>(PackedBytes(p.outputs, p.inputs, bench.Type())), run);
      } else {
        bench.Flops(name, count * 2.0 * static_cast<double>(rows * p.outputs * p.inputs), run);
      }
      bench.Forget();
    }
    const int64_t rows = 2048;
    const PackedMatrix w = bench.Matrix(p.outputs, p.inputs);
    const void* x = bench.Act(rows, p.inputs);
    const float* d_y = bench.Floats(rows * p.outputs);
    float* d_x = bench.Take<float>(rows * p.inputs);
    float* d_w = bench.Take<float>(p.outputs * p.inputs);
    bench.Flops(std::string(p.name) + " backward (both), 2048 rows",
                4.0 * static_cast<double>(rows * p.outputs * p.inputs), [&] {
                  bench.Cpu().LinearBackward(
                      {.x = x, .d_y = d_y, .w = w, .d_x = d_x, .d_w = d_w, .rows = rows});
                });
    bench.Forget();
  }
}

void BenchHead(Bench& bench, const ModelShape& m) {
  const PackedMatrix w = bench.Matrix(m.v, m.d);
  const double weight_bytes = static_cast<double>(PackedBytes(m.v, m.d, bench.Type()));
  for (const int64_t rows : {1, 16, 64}) {
    const void* hidden = bench.Act(rows, m.d);
    std::vector<SampleRow> params(rows, SampleRow{.uniform = 0.4});
    std::vector<SampleRow> nucleus(rows, SampleRow{.top_p = 0.95f, .uniform = 0.4});
    int32_t* tokens = bench.Take<int32_t>(rows);
    float* logprobs = bench.Take<float>(rows);
    float* entropies = bench.Take<float>(rows);
    for (const auto* p : {&params, &nucleus}) {
      const std::string name =
          (p == &params ? "sample, " : "sample top-p, ") + std::to_string(rows) + " rows";
      const auto run = [&] {
        bench.Cpu().Sample({.hidden = hidden,
                            .w = w,
                            .params = p->data(),
                            .tokens = tokens,
                            .logprobs = logprobs,
                            .entropies = entropies,
                            .rows = rows});
      };
      if (rows == 1) {
        bench.Bytes(name, weight_bytes, run);
      } else {
        bench.Flops(name, 2.0 * static_cast<double>(rows * m.v * m.d), run);
      }
    }
  }
  const int64_t rows = 1024;
  const void* hidden = bench.Act(rows, m.d);
  int32_t* targets = bench.Take<int32_t>(rows);
  float* temperatures = bench.Floats(rows, 0);
  std::fill_n(temperatures, rows, 1.0f);
  float* logprobs = bench.Take<float>(rows);
  float* logsumexps = bench.Take<float>(rows);
  const double flops = 2.0 * static_cast<double>(rows * m.v * m.d);
  bench.Flops("log-prob, 1024 rows", flops, [&] {
    bench.Cpu().LogProb({.hidden = hidden,
                         .w = w,
                         .targets = targets,
                         .inverse_temperatures = temperatures,
                         .logprobs = logprobs,
                         .logsumexps = logsumexps,
                         .rows = rows});
  });
  const float* d_logprobs = bench.Floats(rows);
  float* d_hidden = bench.Take<float>(rows * m.d);
  float* d_w = bench.Take<float>(m.v * m.d);
  bench.Flops("log-prob backward (all three), 1024 rows", 3 * flops, [&] {
    bench.Cpu().LogProbBackward({.hidden = hidden,
                                 .w = w,
                                 .targets = targets,
                                 .inverse_temperatures = temperatures,
                                 .logsumexps = logsumexps,
                                 .d_logprobs = d_logprobs,
                                 .d_hidden = d_hidden,
                                 .d_w = d_w,
                                 .rows = rows});
  });
  bench.Forget();
}

void BenchAttention(Bench& bench, const ModelShape& m) {
  struct Batch {
    const char* name;
    int64_t sequences, queries, keys;
  };
  for (const Batch& b : {Batch{"decode, 64 sequences at 512", 64, 1, 512},
                         Batch{"packed, 4 sequences of 512", 4, 512, 512}}) {
    const int64_t rows = b.sequences * b.queries;
    const int64_t pages_each = KvPagesFor(b.keys);
    const KvShape shape = {bench.Type(), m.kv_heads, m.e, b.sequences * pages_each};
    const KvLayer cache = {bench.Take<char>(shape.pages * KvPageBytes(shape)),
                           bench.Take<char>(shape.pages * KvPageBytes(shape))};
    std::vector<int32_t> pages(shape.pages);
    std::vector<AttentionSequence> sequences;
    for (int64_t i = 0; i < shape.pages; ++i) pages[i] = static_cast<int32_t>(i);
    for (int64_t i = 0; i < b.sequences; ++i) {
      sequences.push_back({i * b.queries, b.queries, b.keys, pages.data() + i * pages_each});
    }
    const float* q = bench.Floats(rows * m.heads * m.e);
    void* out = bench.Act(rows, m.heads * m.e);
    float* logsumexp = bench.Take<float>(rows * m.heads);
    const AttentionArgs args = {.q = q,
                                .cache = cache,
                                .shape = shape,
                                .sequences = sequences.data(),
                                .sequence_count = b.sequences,
                                .out = out,
                                .out_act = bench.Type(),
                                .logsumexp = logsumexp,
                                .scale = 0.125f,
                                .rows = rows,
                                .heads = m.heads};
    const double pairs = static_cast<double>(b.sequences) *
                         (static_cast<double>(b.queries) * static_cast<double>(b.keys) -
                          static_cast<double>(b.queries * (b.queries - 1)) / 2);
    const double flops = pairs * 4.0 * static_cast<double>(m.heads * m.e);
    bench.AttentionFlops(std::string("attention, ") + b.name, flops,
                         [&] { bench.Cpu().Attention(args); });
    if (b.queries > 1) {
      const int64_t slots = shape.pages * kPageTokens * m.kv_heads * m.e;
      const float* d_out = bench.Floats(rows * m.heads * m.e);
      float* d_q = bench.Take<float>(rows * m.heads * m.e);
      float* d_keys = bench.Take<float>(slots);
      float* d_values = bench.Take<float>(slots);
      bench.AttentionFlops(std::string("attention backward, ") + b.name, 2.5 * flops, [&] {
        bench.Cpu().AttentionBackward({.q = q,
                                       .cache = cache,
                                       .shape = shape,
                                       .sequences = sequences.data(),
                                       .sequence_count = b.sequences,
                                       .out = out,
                                       .out_act = bench.Type(),
                                       .logsumexp = logsumexp,
                                       .d_out = d_out,
                                       .d_q = d_q,
                                       .d_keys = d_keys,
                                       .d_values = d_values,
                                       .scale = 0.125f,
                                       .rows = rows,
                                       .heads = m.heads});
      });
    }
    bench.Forget();
  }
}

void BenchRows(Bench& bench, const ModelShape& m) {
  const int64_t rows = 2048;
  const double size = static_cast<double>(SizeOf(bench.Type()));
  {
    const float* x = bench.Floats(rows * m.d);
    const float* weight = bench.Floats(m.d);
    float* inverse = bench.Take<float>(rows);
    void* y = bench.Act(rows, m.d);
    const double elements = static_cast<double>(rows * m.d);
    bench.Bytes("RMS norm, 2048 rows", elements * (4 + size), [&] {
      bench.Cpu().RmsNorm({.x = x,
                           .weight = weight,
                           .y = y,
                           .inverse_rms = inverse,
                           .act = bench.Type(),
                           .rows = rows,
                           .width = m.d});
    });
    float* d_x = bench.Take<float>(rows * m.d);
    float* d_weight = bench.Take<float>(m.d);
    bench.Bytes("RMS norm backward, 2048 rows", elements * 16, [&] {
      bench.Cpu().RmsNormBackward({.x = x,
                                   .weight = weight,
                                   .inverse_rms = inverse,
                                   .d_y = x,
                                   .d_x = d_x,
                                   .d_weight = d_weight,
                                   .rows = rows,
                                   .width = m.d});
    });
    bench.Forget();
  }
  {
    const void* gate_up = bench.Act(rows, 2 * m.f);
    void* y = bench.Act(rows, m.f);
    const float* d_y = bench.Floats(rows * m.f);
    float* d_gate_up = bench.Take<float>(rows * 2 * m.f);
    const double elements = static_cast<double>(rows * m.f);
    bench.Bytes("SwiGLU, 2048 rows", elements * 3 * size, [&] {
      bench.Cpu().SwiGlu(
          {.gate_up = gate_up, .y = y, .act = bench.Type(), .rows = rows, .width = m.f});
    });
    bench.Bytes("SwiGLU backward, 2048 rows", elements * (12 + 2 * size), [&] {
      bench.Cpu().SwiGluBackward({.gate_up = gate_up,
                                  .d_y = d_y,
                                  .d_gate_up = d_gate_up,
                                  .act = bench.Type(),
                                  .rows = rows,
                                  .width = m.f});
    });
    bench.Forget();
  }
  {
    const int64_t outputs = m.v / 2;
    const int64_t count = outputs * m.d;
    float* master = bench.Floats(count);
    float* first = bench.Take<float>(count);
    float* second = bench.Take<float>(count);
    const float* gradient = bench.Floats(count);
    const PackedMatrix working = bench.Matrix(outputs, m.d);
    bench.Bytes("AdamW with working weights", static_cast<double>(count) * (28 + size), [&] {
      bench.Cpu().AdamW({.master = master,
                         .first_moment = first,
                         .second_moment = second,
                         .gradient = gradient,
                         .working = working,
                         .rows = outputs,
                         .columns = m.d,
                         .learning_rate = 1e-5f});
    });
    bench.Bytes("squared norm", static_cast<double>(count) * 4,
                [&] { sink = static_cast<float>(bench.Cpu().SquaredNorm(gradient, count)); });
    bench.Bytes("pack", static_cast<double>(count) * (4 + size),
                [&] { bench.Cpu().Pack(master, working); });
    bench.Forget();
  }
}

int Main(int argc, char** argv) {
  CLI::App app("Times the hot kernels beside this machine's limits");
  int64_t threads = 0;
  int repeats = 7;
  std::string isa = "best";
  std::string type = "bf16";
  std::string only;
  std::string model = "SmolLM2";
  app.add_option("--threads", threads, "compute threads; 0 = one a core");
  app.add_option("--repeats", repeats, "runs of each kernel")->check(CLI::Range(1, 1000));
  app.add_option("--isa", isa, "instruction set")
      ->check(CLI::IsMember({"best", "portable", "avx2", "avx512", "avx512_bf16", "amx"}));
  app.add_option("--dtype", type, "weights")->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--only", only, "products, head, attention or rows")
      ->check(CLI::IsMember({"products", "head", "attention", "rows"}));
  app.add_flag("--cpu-time", use_cpu_time,
               "processor time in place of wall time, on a machine that others use too");
  app.add_option("--model", model, "beginning of a model's name: SmolLM2 or Qwen");
  CLI11_PARSE(app, argc, argv);

  const std::pair<const char*, CpuIsa> isas[] = {
      {"best", CpuIsa::kBest},     {"portable", CpuIsa::kPortable},      {"avx2", CpuIsa::kAvx2},
      {"avx512", CpuIsa::kAvx512}, {"avx512_bf16", CpuIsa::kAvx512Bf16}, {"amx", CpuIsa::kAmx}};
  CpuBackendOptions options{.threads = threads};
  for (const auto& [name, value] : isas) {
    if (isa == name) options.isa = value;
  }
  auto backend = CreateCpuBackend(options);
  if (!backend.ok()) {
    std::fprintf(stderr, "%s\n", std::string(backend.status().message()).c_str());
    return 1;
  }
  ThreadPool pool((*backend)->Info().threads);
  const MachineLimits limits = cpu::ProbeMachine(pool, (*backend)->Info().isa);
  std::printf("limits: %.1f GFLOP/s fp32, %.1f GFLOP/s bf16, %.1f GB/s read\n",
              limits.f32_flops * 1e-9, limits.bf16_flops * 1e-9, limits.read_bytes * 1e-9);
  Bench bench(**backend, type == "f32" ? DType::kF32 : DType::kBF16, limits, repeats);
  for (const ModelShape& shape : kModels) {
    if (!std::string(shape.name).starts_with(model)) continue;
    bench.Heading(shape.name);
    if (only.empty() || only == "products") BenchProducts(bench, shape);
    if (only.empty() || only == "head") BenchHead(bench, shape);
    if (only.empty() || only == "attention") BenchAttention(bench, shape);
    if (only.empty() || only == "rows") BenchRows(bench, shape);
  }
  return 0;
}

}  // namespace
}  // namespace ponder::kernels

int main(int argc, char** argv) { return ponder::kernels::Main(argc, argv); }
