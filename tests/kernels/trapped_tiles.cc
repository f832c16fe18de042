#include "tests/kernels/trapped_tiles.h"

#include <ucontext.h>

#include <atomic>
#include <cstring>

#include "kernels/cpu/amx_emulated.h"

namespace ponder::kernels {
namespace {

std::atomic<int64_t> count = 0;

// Intel's numbers of the general registers.
constexpr int kRegisters[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};

// One instruction under a VEX prefix of three bytes: C4, [R X B mmmmm], [W vvvv L pp], opcode,
// ModRM, perhaps SIB, perhaps a displacement. R, X, B and vvvv are stored inverted.
struct Instruction {
  int prefix = 0;  // pp: 0 none, 1 66, 2 F3, 3 F2
  int opcode = 0;
  bool memory = false;
  int reg = 0;           // ModRM.reg
  int rm = 0;            // ModRM.rm, of a register
  int second = 0;        // vvvv
  char* base = nullptr;  // of memory: base register and displacement
  int64_t index = 0;     // of memory: index register times scale
  int64_t length = 0;
};

bool Decode(const greg_t* registers, Instruction& out) {
  const auto* code = reinterpret_cast<const uint8_t*>(registers[REG_RIP]);
  constexpr int kMap0f38 = 2;
  if (code[0] != 0xc4 || (code[1] & 31) != kMap0f38) return false;
  const int high_index = (code[1] & 0x40) != 0 ? 0 : 8;
  const int high_base = (code[1] & 0x20) != 0 ? 0 : 8;
  out.prefix = code[2] & 3;
  out.second = ~(code[2] >> 3) & 15;
  out.opcode = code[3];
  const int mode = code[4] >> 6;
  out.reg = (code[4] >> 3) & 7;
  out.rm = code[4] & 7;
  out.length = 5;
  out.memory = mode != 3;
  if (!out.memory) return true;
  int base = out.rm + high_base;
  if (out.rm == 4) {
    const int sib = code[out.length++];
    base = (sib & 7) + high_base;
    const int index = ((sib >> 3) & 7) + high_index;
    constexpr int kNoIndex = 4;
    if (index != kNoIndex) out.index = registers[kRegisters[index]] * (1 << (sib >> 6));
  }
  int64_t address = 0;
  if (mode == 0 && base % 8 == 5) {  // no base register: relative to the next instruction, or none
    int32_t displacement = 0;
    std::memcpy(&displacement, code + out.length, 4);
    const bool relative = out.rm != 4;
    out.length += 4;
    address = displacement + (relative ? registers[REG_RIP] + out.length : 0);
  } else {
    address = registers[kRegisters[base]];
    if (mode == 1) {
      address += static_cast<int8_t>(code[out.length]);
      out.length += 1;
    } else if (mode == 2) {
      int32_t displacement = 0;
      std::memcpy(&displacement, code + out.length, 4);
      address += displacement;
      out.length += 4;
    }
  }
  out.base = reinterpret_cast<char*>(address);
  return true;
}

bool CarryOut(const Instruction& i) {
  constexpr int kNone = 0, k66 = 1, kF3 = 2, kF2 = 3;
  cpu::TileEmulator& tiles = cpu::TileEmulator::OfThisThread();
  const auto is = [&](int prefix, int opcode, bool memory) {
    return i.prefix == prefix && i.opcode == opcode && i.memory == memory;
  };
  if (is(kNone, 0x49, true)) {  // LDTILECFG
    cpu::TileConfig config;
    std::memcpy(static_cast<void*>(&config), i.base + i.index, sizeof(config));
    tiles.Configure(config);
  } else if (is(kNone, 0x49, false)) {  // TILERELEASE
    tiles.Release();
  } else if (is(kF2, 0x49, false)) {  // TILEZERO
    tiles.Zero(i.reg);
  } else if (is(kF2, 0x4b, true) || is(k66, 0x4b, true)) {  // TILELOADD, TILELOADDT1
    tiles.Load(i.reg, i.base, i.index);
  } else if (is(kF3, 0x4b, true)) {  // TILESTORED
    tiles.Store(i.reg, i.base, i.index);
  } else if (is(kF3, 0x5c, false)) {  // TDPBF16PS
    tiles.Dot(i.reg, i.rm, i.second);
  } else {
    return false;
  }
  return true;
}

void OnRefusal(int, siginfo_t*, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  Instruction instruction;
  if (!Decode(registers, instruction) || !CarryOut(instruction)) {
    signal(SIGILL, SIG_DFL);  // met again, it ends the program
    return;
  }
  registers[REG_RIP] += instruction.length;
  ++count;
}

}  // namespace

TrappedTiles::TrappedTiles() {
  count = 0;
  struct sigaction action = {};
  action.sa_sigaction = OnRefusal;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, &before_);
}

TrappedTiles::~TrappedTiles() { sigaction(SIGILL, &before_, nullptr); }

int64_t TrappedTiles::Count() const { return count; }

}  // namespace ponder::kernels
