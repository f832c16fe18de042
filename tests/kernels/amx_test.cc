#include "base/check.h"
#include "kernels/cpu/amx_emulated.h"
#include "kernels/cpu/cpu_isa.h"
#include "tests/kernels/cpu_test_support.h"
#include "tests/kernels/trapped_tiles.h"

// The kernel of matrix tiles: its emulation against plain sums, and its machine code against the
// emulation.
namespace ponder::kernels {
namespace {

using cpu::MatMulBlock;

// ---- the emulation ----

cpu::TileConfig AllTiles(int rows) {
  cpu::TileConfig config;
  for (int tile = 0; tile < cpu::kTiles; ++tile) {
    config.row_bytes[tile] = 64;
    config.rows[tile] = static_cast<uint8_t>(rows);
  }
  return config;
}

// The one sum of a tile product whose inputs are row 0, and whose weights are output 0, of 16
// pairs.
float OneSum(float before, const std::vector<float>& inputs, const std::vector<float>& weights) {
  cpu::TileEmulator tiles;
  tiles.Configure(AllTiles(16));
  std::vector<BF16> a(512, ToBF16(0));
  std::vector<BF16> b(512, ToBF16(0));
  for (size_t i = 0; i < inputs.size(); ++i) {
    a[i] = ToBF16(inputs[i]);
    b[i / 2 * 32 + i % 2] = ToBF16(weights[i]);
  }
  std::vector<float> c(256, 0);
  c[0] = before;
  tiles.Load(0, c.data(), 64);
  tiles.Load(1, a.data(), 64);
  tiles.Load(2, b.data(), 64);
  tiles.Dot(0, 1, 2);
  tiles.Store(0, c.data(), 64);
  return c[0];
}

TEST(TileEmulatorTest, SumsEvenAndOddMembersOfPairsApart) {
  // Even: 2^24 + 1 stays 2^24 (ties go to even). Odd: 1 + 1. One chain would end at 2^24.
  EXPECT_EQ(OneSum(0, {4096, 1, 1, 1}, {4096, 1, 1, 1}), 16777218.0f);
}

TEST(TileEmulatorTest, MeetsTheSumBeforeAtTheEnd) {
  // A chain that began with it would end at 3.
  EXPECT_EQ(OneSum(-16777216.0f, {4096, 1, 1, 1}, {4096, 1, 1, 1}), 2.0f);
}

TEST(TileEmulatorTest, RoundsProductsWithTheirSumAlone) {
  // 2^128 - 2^127, and 2^-126 + 2^-130: the products by themselves are infinite and denormal.
  EXPECT_EQ(OneSum(0, {-0x1p64f, 0, 0x1p64f}, {0x1p63f, 0, 0x1p64f}), 0x1p127f);
  EXPECT_EQ(OneSum(0, {0x1p-63f, 0, 0x1p-70f}, {0x1p-63f, 0, 0x1p-60f}), 0x1.1p-126f);
}

TEST(TileEmulatorTest, DenormalsAreZero) {
  EXPECT_EQ(OneSum(0, {1e-39f}, {1e38f}), 0.0f);
  EXPECT_EQ(OneSum(0, {1e-20f}, {1e-20f}), 0.0f);
  EXPECT_EQ(OneSum(1e-39f, {0}, {0}), 0.0f);
  EXPECT_GT(OneSum(0, {2e-38f}, {1}), 0.0f);
}

TEST(TileEmulatorTest, RefusesWhatTheProcessorRefuses) {
  cpu::TileEmulator tiles;
  char memory[1024] = {};
  EXPECT_THROW(tiles.Zero(0), CheckFailure);
  tiles.Configure(AllTiles(16));
  EXPECT_THROW(tiles.Dot(0, 0, 1), CheckFailure);
  tiles.Configure(AllTiles(15));  // weights of 15 pairs for inputs of 16
  EXPECT_THROW(tiles.Dot(0, 1, 2), CheckFailure);
  tiles.Release();
  EXPECT_THROW(tiles.Load(0, memory, 64), CheckFailure);
  EXPECT_THROW(tiles.Configure(AllTiles(17)), CheckFailure);
}

// ---- products ----

struct Product {
  int64_t rows, outputs, inputs;
};

// One tile of rows and two, whole ones and rests; runs of 4, 2 and 1 panels, few and enough for a
// copy of the inputs; one step and several.
const Product kProducts[] = {{1, 1, 1},     {1, 150, 96}, {7, 64, 40},   {15, 100, 32},
                             {16, 129, 70}, {17, 16, 33}, {24, 70, 64},  {31, 90, 100},
                             {32, 65, 96},  {33, 33, 65}, {50, 170, 70}, {64, 64, 64},
                             {69, 112, 130}};

// A product's arrays, x and y with strides of their own, y amid numbers that must stay.
class Arrays {
 public:
  Arrays(const Product& shape, int64_t x_gap, int64_t y_gap)
      : shape_(shape),
        x_stride_(PaddedInputs(shape.inputs) + x_gap),
        y_stride_(shape.outputs + y_gap),
        x_(Rounded(Normals(shape.rows * shape.inputs, 1), DType::kBF16)),
        w_(Rounded(Normals(shape.outputs * shape.inputs, 2), DType::kBF16)),
        bias_(Normals(shape.outputs, 3)),
        before_(Normals(shape.rows * y_stride_, 4)),
        x_memory_(*backend_, std::vector<float>(shape.rows * x_stride_, 3e38f)),
        scratch_(*backend_, ScratchFloats() + kGuard, kUntouched),
        weights_(*backend_, w_, shape.outputs, shape.inputs, DType::kBF16) {
    auto* x = reinterpret_cast<BF16*>(x_memory_.F());
    for (int64_t i = 0; i < shape.rows; ++i) {
      for (int64_t k = 0; k < PaddedInputs(shape.inputs); ++k)
        x[i * x_stride_ + k] = ToBF16(k < shape.inputs ? x_[i * shape.inputs + k] : 0);
    }
  }

  // y, gaps included.
  std::vector<float> Run(const cpu::Primitives& primitives, bool scratch, bool bias, Store store,
                         int64_t row, int64_t rows, int64_t panel, int64_t outputs) const {
    std::vector<float> y = before_;
    MatMulBlock block;
    block.x = reinterpret_cast<const BF16*>(x_memory_.F()) + row * x_stride_;
    block.x_stride = x_stride_;
    block.panels = static_cast<const char*>(weights_.Matrix().data) +
                   panel * kPanelOutputs * PaddedInputs(shape_.inputs) * 2;
    block.inputs = PaddedInputs(shape_.inputs);
    block.rows = rows;
    block.outputs = outputs;
    block.bias = bias ? bias_.data() + panel * kPanelOutputs : nullptr;
    block.y = y.data() + row * y_stride_ + panel * kPanelOutputs;
    block.y_stride = y_stride_;
    block.store = store;
    block.scratch = scratch ? scratch_.F() : nullptr;
    primitives.mat_mul(block);
    for (int64_t i = 0; i < kGuard; ++i)
      EXPECT_EQ(scratch_.F()[ScratchFloats() + i], kUntouched) << "beyond the scratch memory";
    return y;
  }
  std::vector<float> Run(const cpu::Primitives& primitives, bool scratch, bool bias,
                         Store store) const {
    return Run(primitives, scratch, bias, store, 0, shape_.rows, 0, shape_.outputs);
  }

  void ExpectIsTheProduct(const std::vector<float>& y, bool bias, Store store) const {
    const auto product = [&](const Array& x, const Array& w, const Array& b) {
      return reference::Linear(x, w, bias ? b : Array(), shape_.rows, shape_.outputs,
                               shape_.inputs);
    };
    const Array sums = product(Widened(x_), Widened(w_), Widened(bias_));
    const Array sizes =
        product(Absolutes(Widened(x_)), Absolutes(Widened(w_)), Absolutes(Widened(bias_)));
    Array expected = Widened(before_);
    Array bound(before_.size(), 0);
    // Each product meets its chain, the other chain, the steps, bias and y: at most n + 5
    // roundings.
    const double epsilon = static_cast<double>(shape_.inputs + 5) * kEpsilonF32 * 1.01;
    for (int64_t i = 0; i < shape_.rows; ++i) {
      for (int64_t j = 0; j < shape_.outputs; ++j) {
        const int64_t from = i * shape_.outputs + j;
        const int64_t to = i * y_stride_ + j;
        const double old = store == Store::kAdd ? expected[to] : 0;
        expected[to] = old + sums[from];
        bound[to] = (std::abs(old) + sizes[from]) * epsilon;
      }
    }
    ExpectNear(y, expected, bound);
  }

 private:
  static constexpr int64_t kGuard = 256;
  static constexpr float kUntouched = 7;
  int64_t ScratchFloats() const { return shape_.rows * PaddedInputs(shape_.inputs) / 2; }

  std::unique_ptr<Backend> backend_ = MakeBackend(CpuIsa::kPortable, 1);
  Product shape_;
  int64_t x_stride_, y_stride_;
  std::vector<float> x_, w_, bias_, before_;
  Buffer x_memory_, scratch_;
  Weights weights_;
};

const cpu::Primitives& Emulated() { return cpu::PrimitivesFor(CpuIsa::kAmxEmulated); }

TEST(TileProductTest, EmulationAgreesWithTheTwin) {
  for (const Product& shape : kProducts) {
    SCOPED_TRACE(testing::Message()
                 << shape.rows << " x " << shape.inputs << " -> " << shape.outputs);
    const Arrays arrays(shape, 0, 0);
    const Arrays apart(shape, 34, 3);
    for (const bool scratch : {false, true}) {
      arrays.ExpectIsTheProduct(arrays.Run(Emulated(), scratch, true, Store::kOverwrite), true,
                                Store::kOverwrite);
      apart.ExpectIsTheProduct(apart.Run(Emulated(), scratch, false, Store::kAdd), false,
                               Store::kAdd);
      apart.ExpectIsTheProduct(apart.Run(Emulated(), scratch, true, Store::kAdd), true,
                               Store::kAdd);
    }
  }
}

TEST(TileProductTest, BitsDependOnNeitherRowsNorPanelsNorTheCopy) {
  const Product shape = {70, 150, 96};
  const Arrays arrays(shape, 2, 1);
  const std::vector<float> whole = arrays.Run(Emulated(), false, true, Store::kAdd);
  ExpectSameBits(arrays.Run(Emulated(), true, true, Store::kAdd), whole);
  for (const int64_t rows : {1, 5, 16, 17, 32, 40, 69}) {
    for (const int64_t panel : {0, 3, 8}) {
      for (int64_t panels = 1; panel + panels <= 10; panels += 2) {
        const int64_t row = shape.rows - rows;
        const int64_t outputs =
            std::min(panels * kPanelOutputs, shape.outputs - panel * kPanelOutputs);
        SCOPED_TRACE(testing::Message()
                     << rows << " rows, " << outputs << " outputs from panel " << panel);
        for (const bool scratch : {false, true}) {
          const std::vector<float> part =
              arrays.Run(Emulated(), scratch, true, Store::kAdd, row, rows, panel, outputs);
          const int64_t stride = shape.outputs + 1;
          for (int64_t i = row; i < shape.rows; ++i) {
            for (int64_t j = panel * kPanelOutputs; j < panel * kPanelOutputs + outputs; ++j)
              ASSERT_EQ(part[i * stride + j], whole[i * stride + j]) << i << ", " << j;
          }
        }
      }
    }
  }
}

TEST(TileProductTest, WithoutRowsNothingHappens) {
  cpu::PrimitivesFor(CpuIsa::kAmxEmulated).mat_mul({.outputs = 16});
}

void ExpectBitsOfTheEmulation(const cpu::Primitives& primitives) {
  for (const Product& shape : kProducts) {
    SCOPED_TRACE(testing::Message()
                 << shape.rows << " x " << shape.inputs << " -> " << shape.outputs);
    const Arrays arrays(shape, 34, 3);
    for (const bool scratch : {false, true}) {
      for (const Store store : {Store::kOverwrite, Store::kAdd}) {
        ExpectSameBits(arrays.Run(primitives, scratch, true, store),
                       arrays.Run(Emulated(), scratch, true, store));
      }
    }
  }
}

TEST(TileProductTest, HardwareGivesTheBitsOfTheEmulation) {
  if (!cpu::Supports(CpuIsa::kAmx)) {
    GTEST_SKIP() << "did not run: this processor or system has no AMX with bf16, so the arithmetic "
                    "of the emulation was not compared with the hardware's";
  }
  ExpectBitsOfTheEmulation(cpu::PrimitivesFor(CpuIsa::kAmx));
}

// The machine code of the hardware's kernel, its tile instructions carried out by the emulation:
// registers, shapes, addresses, distances and order are those of the emulated kernel.
TEST(TileProductTest, InstructionsAreThoseOfTheEmulation) {
  if (cpu::Supports(CpuIsa::kAmx)) GTEST_SKIP() << "not needed: the hardware runs them itself";
  if (!cpu::Supports(CpuIsa::kAvx512Bf16)) {
    GTEST_SKIP() << "did not run: the kernels need AVX512-BF16 beside the tiles";
  }
  const TrappedTiles trapped;
  ExpectBitsOfTheEmulation(cpu::PrimitivesFor(CpuIsa::kAmx));
  EXPECT_GT(trapped.Count(), 1000);
}

}  // namespace
}  // namespace ponder::kernels
