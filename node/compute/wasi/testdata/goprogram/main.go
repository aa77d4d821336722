// A Go program for GOOS=wasip1 that uses what Go programs use.
package main

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

func main() {
	fmt.Println(os.Args, os.Getenv("NAME"))
	counts := map[string]int{}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		counts[in.Text()]++
	}
	check(in.Err())
	for k, v := range counts { // the order comes of the seed
		fmt.Print(k, "=", v, " ")
	}
	fmt.Println()

	b, err := os.ReadFile("/data/words")
	check(err)
	fmt.Printf("%q\n", b)
	check(filepath.WalkDir("/", func(p string, d fs.DirEntry, err error) error {
		fmt.Print(p, " ")
		return err
	}))
	fmt.Println()
	_, err = os.ReadFile("/nowhere")
	fmt.Println(errors.Is(err, fs.ErrNotExist), os.WriteFile("/data/x", nil, 0o644))

	var lock sync.Mutex
	var wait sync.WaitGroup
	sums := map[int][32]byte{}
	for i := range 8 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			time.Sleep(time.Duration(8-i) * time.Millisecond)
			name := fmt.Sprintf("/tmp/%d", i)
			check(os.WriteFile(name, make([]byte, 1000*i), 0o644))
			b, err := os.ReadFile(name)
			check(err)
			lock.Lock()
			defer lock.Unlock()
			sums[i] = sha256.Sum256(b)
			fmt.Print(i, " ")
		}()
	}
	wait.Wait()
	fmt.Println()
	entries, err := os.ReadDir("/tmp")
	check(err)
	for _, e := range entries {
		info, err := e.Info()
		check(err)
		fmt.Printf("%s %d %v %x\n", e.Name(), info.Size(), info.ModTime().UTC(), sums[int(e.Name()[0]-'0')])
	}
	check(os.Rename("/tmp/1", "/tmp/9"))
	f, err := os.OpenFile("/tmp/9", os.O_APPEND|os.O_RDWR, 0)
	check(err)
	_, err = f.WriteString("more")
	check(err)
	at, err := f.Seek(-6, io.SeekEnd)
	check(err)
	rest, err := io.ReadAll(f)
	check(err)
	fmt.Printf("%d %q %v\n", at, rest, f.Close())
	check(os.MkdirAll("/tmp/a/b/c", 0o755))
	check(os.RemoveAll("/tmp/a"))
	for i := range 10 {
		err := os.Remove(fmt.Sprintf("/tmp/%d", i))
		if err != nil {
			fmt.Println(err)
		}
	}
	entries, err = os.ReadDir("/tmp")
	fmt.Println(entries, err)

	r := make([]byte, 8)
	rand.Read(r)
	select {
	case <-time.After(time.Hour):
	}
	fmt.Printf("%x %v\n", r, time.Now().UTC().Format(time.RFC3339))
	fmt.Fprintln(os.Stderr, "to the log")
	os.Exit(5)
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
