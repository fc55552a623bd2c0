// Exceptions, threads, a library with much code in templates; prints the same on every machine.
#include <iostream>
#include <map>
#include <regex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

int main() {
  std::vector<std::thread> threads;
  int sum = 0;
  for (int k = 0; k < 4; k++)
    threads.emplace_back([&sum, k] {
      long mine = 0;
      for (int n = 0; n < 1000000; n++) mine += static_cast<long>(n) * k;
      __atomic_fetch_add(&sum, static_cast<int>(mine % 1000003), __ATOMIC_SEQ_CST);
    });
  for (auto& thread : threads) thread.join();
  std::map<int, std::string> squares;
  for (int k = 0; k < 100; k++) squares[k] = std::to_string(k * k);
  try {
    squares.at(1000);
  } catch (const std::out_of_range&) {
    std::cout << "caught\n";
  }
  std::cout << sum << ' ' << squares[99] << ' ' << std::regex_match("abc123", std::regex("[a-z]+\\d+")) << '\n';
}
