// What it leaves in /tmp must not be there for its second run.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
int main() {
  std::puts(access("/tmp/again", F_OK) == 0 ? "again" : "7");
  std::fclose(std::fopen("/tmp/again", "w"));
  std::fclose(std::fopen("/tmp/program", "w"));
}
