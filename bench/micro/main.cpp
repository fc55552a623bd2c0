// lyrebird-bench-micro: Google Benchmark of the emulator's parts, one file a part. --benchmark_filter=NAME picks some.
#include <benchmark/benchmark.h>

BENCHMARK_MAIN();
