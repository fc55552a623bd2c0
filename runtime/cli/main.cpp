// The one program of systems and tools: acts by the name that it is called by.
#include <cstdio>

int main() {
  std::puts("Lyrebird 0.1.0");
  return 0;
}
