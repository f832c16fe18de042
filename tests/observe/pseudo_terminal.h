#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace ponder {

// Both ends of a pseudo-terminal of `columns` columns and `rows` rows.
class PseudoTerminal {
 public:
  explicit PseudoTerminal(int columns, int rows = 24);
  ~PseudoTerminal();
  PseudoTerminal(const PseudoTerminal&) = delete;

  void Resize(int columns, int rows);
  std::FILE* Out() { return slave_; }
  // What was written since the last call; it is there already, for writes to a terminal are at
  // once.
  std::string Read();

 private:
  int master_;
  std::FILE* slave_;
};

// What a terminal of endless height shows after `bytes`: its lines without colours. Knows \r, \n,
// "up", "clear to the end" and wrapping off and on, the only sequences that the program may send.
std::vector<std::string> ScreenAfter(const std::string& bytes);

}  // namespace ponder
