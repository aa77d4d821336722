// native times the kernels on this machine: one line each, in microseconds.
#include <stdint.h>
#include <stdio.h>
#include <time.h>
uint32_t sha256(void), sieve(void), matmul(void), fib(void), mix(void), saxpy(void);
int main(void) {
	struct { const char *name; uint32_t (*f)(void); } k[] = {{"sha256", sha256}, {"sieve", sieve}, {"matmul", matmul}, {"fib", fib}, {"mix", mix}, {"saxpy", saxpy}};
	for (int i = 0; i < 6; i++) {
		struct timespec a, b;
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
		uint32_t v = k[i].f();
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
		printf("%s %ld %u\n", k[i].name, (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000, v);
	}
}
