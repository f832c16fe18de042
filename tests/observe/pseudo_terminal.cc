#include "tests/observe/pseudo_terminal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cctype>

namespace ponder {

PseudoTerminal::PseudoTerminal(int columns, int rows) : master_(posix_openpt(O_RDWR | O_NOCTTY)) {
  EXPECT_EQ(grantpt(master_), 0);
  EXPECT_EQ(unlockpt(master_), 0);
  slave_ = std::fopen(ptsname(master_), "w");
  Resize(columns, rows);
}

PseudoTerminal::~PseudoTerminal() {
  std::fclose(slave_);
  close(master_);
}

void PseudoTerminal::Resize(int columns, int rows) {
  winsize size{.ws_row = static_cast<unsigned short>(rows),
               .ws_col = static_cast<unsigned short>(columns)};
  EXPECT_EQ(ioctl(master_, TIOCSWINSZ, &size), 0);
}

std::string PseudoTerminal::Read() {
  // What was written arrives a little later: it is all there when a mark behind it is.
  constexpr char kMark = '\x1e';
  std::fputc(kMark, slave_);
  std::fflush(slave_);
  std::string text;
  char byte = 0;
  while (read(master_, &byte, 1) == 1 && byte != kMark) text += byte;
  EXPECT_EQ(byte, kMark) << "the terminal ended";
  return text;
}

std::vector<std::string> ScreenAfter(const std::string& bytes) {
  std::vector<std::string> lines = {""};
  size_t row = 0;
  bool at_start = true, wraps = true;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] == '\r') {
      at_start = true;
    } else if (bytes[i] == '\n') {
      at_start = true;
      if (++row == lines.size()) lines.emplace_back();
    } else if (bytes[i] == '\033') {
      EXPECT_EQ(bytes.at(++i), '[');
      if (bytes.compare(i, 4, "[?7l") == 0 || bytes.compare(i, 4, "[?7h") == 0) {
        EXPECT_EQ(wraps, bytes[i + 3] == 'l');
        wraps = bytes[i += 3] == 'h';
        continue;
      }
      int number = 0;
      while (std::isdigit(static_cast<unsigned char>(bytes.at(++i)))) {
        number = 10 * number + bytes[i] - '0';
      }
      if (bytes[i] == 'A') {
        EXPECT_LE(static_cast<size_t>(number), row);
        row -= number;
      } else if (bytes[i] == 'J') {
        EXPECT_TRUE(at_start);
        lines.resize(row + 1);
        lines[row].clear();
      } else {
        EXPECT_EQ(bytes[i], 'm') << "a sequence that nothing should send";
      }
    } else {
      // Nothing overwrites a line that it has not cleared.
      EXPECT_TRUE(!at_start || lines[row].empty()) << lines[row];
      at_start = false;
      lines[row] += bytes[i];
    }
  }
  EXPECT_TRUE(wraps) << "left off";
  return lines;
}

}  // namespace ponder
