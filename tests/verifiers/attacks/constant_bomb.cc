#include <array>
std::array<char, 1ull << 34> filled = {1};
int main() { return filled[5]; }
