#include <cstdlib>
#include <cstring>
int main() {
  for (;;) {
    void* const data = std::malloc(1 << 20);
    if (data != nullptr) std::memset(data, 1, 1 << 20);
  }
}
