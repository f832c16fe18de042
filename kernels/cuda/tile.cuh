#pragma once

#include "kernels/cuda/fragment.cuh"

// One block's part of a matrix product C [m, n] = A B: a tile of kTileM x kTileN, its warps side by
// side. Every element is one chain of products along k in steps of 16, or a few of them added up in
// order (MultiplyRange), whatever the tile's size and place: all configurations give the same bits,
// so the launcher is free to choose by the number of rows.
namespace ponder::kernels::cuda {

template <typename Type, int kM, int kN, int kWarpM_, int kWarpN_, Major kA, Major kB>
struct Tile {
  using T = Type;
  static constexpr int kTileM = kM, kTileN = kN, kWarpM = kWarpM_, kWarpN = kWarpN_;
  static constexpr Major kMajorA = kA, kMajorB = kB;
  // So much of a line at a time: a small tile has little to do for what it reads.
  static constexpr int kLineBytes = kTileM * kTileN >= 128 * 128 ? 64 : 128;
  static constexpr int kTileK = kLineBytes / sizeof(T);
  static constexpr int kWarpsM = kTileM / kWarpM, kWarpsN = kTileN / kWarpN;
  static constexpr int kThreads = kWarpsM * kWarpsN * kWarp;
  static constexpr int kPartsM = kWarpM / 16, kPartsN = kWarpN / 16;

  static constexpr int kLinesA = kA == Major::kK ? kTileM : kTileK;
  static constexpr int kWidthA = kA == Major::kK ? kTileK : kTileM;
  static constexpr int kLinesB = kB == Major::kK ? kTileN : kTileK;
  static constexpr int kWidthB = kB == Major::kK ? kTileK : kTileN;
  static constexpr int kStrideA = kWidthA + kRowPadding<T>;
  static constexpr int kStrideB = kWidthB + kRowPadding<T>;
  static constexpr int kStageElements = kLinesA * kStrideA + kLinesB * kStrideB;
  static constexpr int kStageBytes = kStageElements * static_cast<int>(sizeof(T));
  // As many as every generation's blocks have room for: where there are few blocks, what is on its
  // way decides how fast the weights come.
  static constexpr int kMostStages = 8, kMostSharedBytes = 92 << 10;
  static constexpr int kStages =
      kMostSharedBytes / kStageBytes < kMostStages ? kMostSharedBytes / kStageBytes : kMostStages;
  static_assert(kStages >= 3);
  static constexpr int kSharedBytes = kStages * kStageBytes;

  // acc[i][j]: rows 16 i, columns 16 j of the warp's part, two neighbouring tiles of 8 columns.
  float acc[kPartsM][kPartsN][2][4];
};

struct SameLine {
  __device__ int64_t operator()(int64_t line) const { return line; }
};

// `first` + kLines lines from `column` on, `map` telling which line of the operand stands for which
// line of the tile; -1 and lines beyond the end are zeros.
template <typename T, int kLines, int kWidth, int kThreads, typename LineMap>
__device__ void CopyTile(T* to, const Operand<T>& from, int64_t first, int64_t column,
                         LineMap map) {
  constexpr int kChunk = 16 / sizeof(T);
  constexpr int kChunks = kWidth / kChunk;
  for (int i = threadIdx.x; i < kLines * kChunks; i += kThreads) {
    const int line = i / kChunks, at = i % kChunks * kChunk;
    const int64_t source = map(first + line);
    const bool valid = source >= 0 && source < from.lines && column + at < from.width;
    const T* const p = valid ? from.data + source * from.width + column + at : from.data;
    CopyAsync16(to + line * (kWidth + kRowPadding<T>)+at, p, valid);
  }
}

template <typename Tile>
__device__ void ClearTile(Tile& tile) {
#pragma unroll
  for (int i = 0; i < Tile::kPartsM; ++i) {
#pragma unroll
    for (int j = 0; j < Tile::kPartsN; ++j) {
#pragma unroll
      for (int c = 0; c < 8; ++c) tile.acc[i][j][c / 4][c % 4] = 0;
    }
  }
}

// One chain from end to end.
struct OneChain {
  template <typename Tile>
  __device__ void AfterStep(Tile&, int64_t) {}
  template <typename Tile>
  __device__ void AfterAll(Tile&) {}
};

// A new chain every `steps` steps; their sums are added up in order.
template <typename Tile>
struct ManyChains {
  int64_t steps = 1;
  Tile sum;

  __device__ void Fold(Tile& tile) {
#pragma unroll
    for (int i = 0; i < Tile::kPartsM; ++i) {
#pragma unroll
      for (int j = 0; j < Tile::kPartsN; ++j) {
#pragma unroll
        for (int c = 0; c < 8; ++c) sum.acc[i][j][c / 4][c % 4] += tile.acc[i][j][c / 4][c % 4];
      }
    }
  }
  __device__ void AfterStep(Tile& tile, int64_t step) {
    if ((step + 1) % steps != 0) return;
    Fold(tile);
    ClearTile(tile);
  }
  __device__ void AfterAll(Tile& tile) {
    Fold(tile);
    tile = sum;
  }
};

// Fills tile.acc with the product of rows [m0, m0 + kTileM) and columns [n0, n0 + kTileN) over k in
// [k_begin, k_end); k_begin is a multiple of Tile::kTileK. `shared`: Tile::kSharedBytes. Ends with
// a barrier.
template <typename Tile, typename LineMap, typename Chains>
__device__ void MultiplyRange(Tile& tile, const Operand<typename Tile::T>& a,
                              const Operand<typename Tile::T>& b, int64_t m0, int64_t n0,
                              int64_t k_begin, int64_t k_end, char* shared, LineMap map_b,
                              Chains& chains) {
  using T = typename Tile::T;
  T* const stages = reinterpret_cast<T*>(shared);
  const int64_t steps = (k_end - k_begin + Tile::kTileK - 1) / Tile::kTileK;
  const auto copy = [&](int64_t step) {
    if (step < steps) {
      T* const to = stages + step % Tile::kStages * Tile::kStageElements;
      const int64_t k = k_begin + step * Tile::kTileK;
      CopyTile<T, Tile::kLinesA, Tile::kWidthA, Tile::kThreads>(
          to, a, Tile::kMajorA == Major::kK ? m0 : k, Tile::kMajorA == Major::kK ? k : m0,
          SameLine{});
      T* const to_b = to + Tile::kLinesA * Tile::kStrideA;
      if constexpr (Tile::kMajorB == Major::kK) {
        CopyTile<T, Tile::kLinesB, Tile::kWidthB, Tile::kThreads>(to_b, b, n0, k, map_b);
      } else {
        CopyTile<T, Tile::kLinesB, Tile::kWidthB, Tile::kThreads>(to_b, b, k, n0, SameLine{});
      }
    }
    CommitCopies();
  };
  ClearTile(tile);
#pragma unroll
  for (int step = 0; step < Tile::kStages - 1; ++step) copy(step);
  const int warp = threadIdx.x / kWarp;
  const int warp_m = warp % Tile::kWarpsM * Tile::kWarpM;
  const int warp_n = warp / Tile::kWarpsM * Tile::kWarpN;
  for (int64_t step = 0; step < steps; ++step) {
    WaitForCopies<Tile::kStages - 2>();
    __syncthreads();  // this step is there, and nobody reads the last one's place any more
    copy(step + Tile::kStages - 1);
    const T* const from_a = stages + step % Tile::kStages * Tile::kStageElements;
    const T* const from_b = from_a + Tile::kLinesA * Tile::kStrideA;
#pragma unroll
    for (int k = 0; k < Tile::kTileK; k += 16) {
      FragmentA<T> fragment_a[Tile::kPartsM];
#pragma unroll
      for (int i = 0; i < Tile::kPartsM; ++i) {
        const int m = warp_m + 16 * i;
        fragment_a[i] = LoadA<Tile::kMajorA>(
            from_a + (Tile::kMajorA == Major::kK ? m * Tile::kStrideA + k : k * Tile::kStrideA + m),
            Tile::kStrideA);
      }
#pragma unroll
      for (int j = 0; j < Tile::kPartsN; ++j) {
        const int n = warp_n + 16 * j;
        const FragmentB<T> fragment_b = LoadB<Tile::kMajorB>(
            from_b + (Tile::kMajorB == Major::kK ? n * Tile::kStrideB + k : k * Tile::kStrideB + n),
            Tile::kStrideB);
#pragma unroll
        for (int i = 0; i < Tile::kPartsM; ++i) {
          Multiply(tile.acc[i][j][0], tile.acc[i][j][1], fragment_a[i], fragment_b);
        }
      }
    }
    chains.AfterStep(tile, step);
  }
  WaitForCopies<0>();
  __syncthreads();
  chains.AfterAll(tile);
}

// Over k in [0, k_count), in one chain.
template <typename Tile, typename LineMap = SameLine>
__device__ void MultiplyTile(Tile& tile, const Operand<typename Tile::T>& a,
                             const Operand<typename Tile::T>& b, int64_t m0, int64_t n0,
                             int64_t k_count, char* shared, LineMap map_b = {}) {
  OneChain chain;
  MultiplyRange(tile, a, b, m0, n0, 0, k_count, shared, map_b, chain);
}

// visit(row, column, first, second) for each row of the thread's accumulators: `first` are the
// values of columns column and column + 1, `second` of column + 8 and column + 9; rows and columns
// count from the tile's corner.
template <typename Tile, typename Visit>
__device__ void VisitTile(Tile& tile, Visit visit) {
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int row = warp % Tile::kWarpsM * Tile::kWarpM + lane / 4;
  const int column = warp / Tile::kWarpsM * Tile::kWarpN + lane % 4 * 2;
#pragma unroll
  for (int i = 0; i < Tile::kPartsM; ++i) {
#pragma unroll
    for (int j = 0; j < Tile::kPartsN; ++j) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float* const first = tile.acc[i][j][0] + 2 * half;
        float* const second = tile.acc[i][j][1] + 2 * half;
        visit(row + 16 * i + 8 * half, column + 16 * j, first, second);
      }
    }
  }
}

}  // namespace ponder::kernels::cuda
