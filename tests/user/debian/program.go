// Goroutines, their preemption by signals, a nil pointer, children and a server; prints the same on every machine.
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

func many() {
	var group sync.WaitGroup
	var mutex sync.Mutex
	total := 0
	for k := 0; k < 1000; k++ {
		group.Add(1)
		go func() {
			defer group.Done()
			values := make([]int, 1000)
			sum := 0
			for at := range values {
				values[at] = k * at
				sum += values[at]
			}
			mutex.Lock()
			total += sum
			mutex.Unlock()
			time.Sleep(time.Millisecond)
		}()
	}
	group.Wait()
	fmt.Println("goroutines", total)
}

func nilPointer() {
	defer func() { fmt.Println("recovered:", recover()) }()
	var pointer *int
	*pointer = 1
}

func preempted() {
	runtime.GOMAXPROCS(1)
	stop := make(chan bool)
	go func() {
		for k := 0; ; k++ {
			if k&0xfffffff == 0xfffffff {
				select {
				case <-stop:
					return
				default:
				}
			}
		}
	}()
	time.Sleep(20 * time.Millisecond)
	runtime.GC()
	fmt.Println("preempted")
	close(stop)
	runtime.GOMAXPROCS(2)
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "served") }))
	answer, err := http.Get("http://" + listener.Addr().String() + "/")
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := io.ReadAll(answer.Body)
	fmt.Println(string(text))
}

func main() {
	many()
	nilPointer()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	syscall.Kill(syscall.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-signals)
	out, err := exec.Command("uname", "-m").Output()
	fmt.Print(string(out), err, "\n")
	_, err = exec.Command("/no/such").Output()
	fmt.Println(err)
	preempted()
	fmt.Printf("%x\n", sha256.Sum256(make([]byte, 1000000)))
	serve()
	kept := map[int][]byte{}
	for k := 0; k < 20000; k++ {
		kept[k%100] = make([]byte, 10000)
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	fmt.Println("collected", memory.NumGC > 0, runtime.GOARCH)
}
