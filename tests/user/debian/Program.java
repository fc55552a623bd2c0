// The compilers of HotSpot, its collectors, its handlers of SIGSEGV, threads and children; prints the same on every machine.
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;

public class Program {
  static volatile Object sink;

  static int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
  static int deeper(int n) { return deeper(n + 1) + 1; }

  static long churn(int seed) {
    Map<Integer, String> map = new HashMap<>();
    long sum = 0;
    for (int k = 0; k < 60000; k++) {
      map.put(k % 1000, "v" + k * seed);
      sum += map.get(k % 1000).hashCode();
      sink = new byte[1000];
    }
    return sum;
  }

  public static void main(String[] arguments) throws Exception {
    System.out.println("fibonacci " + fibonacci(27));
    ExecutorService pool = Executors.newFixedThreadPool(8);
    List<Future<Long>> results = new ArrayList<>();
    for (int k = 0; k < 16; k++) {
      int seed = k;
      results.add(pool.submit(() -> churn(seed)));
    }
    long total = 0;
    for (Future<Long> result : results) total += result.get();
    pool.shutdown();
    System.out.println("threads " + total);
    System.gc();
    int caught = 0;
    for (int k = 0; k < 60000; k++) {
      try {
        String text = k % 3 == 0 ? null : "x";
        caught += text.length();
      } catch (NullPointerException e) {
        caught += 2;
      }
    }
    System.out.println("null pointers " + caught);
    try {
      deeper(0);
    } catch (StackOverflowError e) {
      System.out.println("stack overflow");
    }
    try {
      long[][] all = new long[1000][];
      for (int k = 0; k < 1000; k++) all[k] = new long[10_000_000];
    } catch (OutOfMemoryError e) {
      System.out.println("out of memory");
    }
    System.out.println("parallel " + IntStream.range(0, 1_000_000).parallel().mapToLong(k -> k * (long) k).sum());
    AtomicInteger count = new AtomicInteger();
    List<Thread> threads = new ArrayList<>();
    for (int k = 0; k < 500; k++) threads.add(Thread.startVirtualThread(count::incrementAndGet));
    for (Thread thread : threads) thread.join();
    System.out.println("virtual threads " + count.get());
    Process child = new ProcessBuilder("uname", "-m").start();
    System.out.println("child " + new String(child.getInputStream().readAllBytes()).trim() + " " + child.waitFor());
    double sum = 0;
    for (int k = 1; k < 1_000_000; k++) sum += Math.sin(k) / k;
    System.out.printf("sines %.9f%n", sum);
    System.out.println(System.getProperty("os.arch"));
  }
}
