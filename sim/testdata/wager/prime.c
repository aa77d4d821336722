// prime.c exits with 0 if its argument is a prime, and says so; else with 1. Built by build.sh.
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
	unsigned long long n = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, d = 2;
	if (n < 2) return 1;
	for (; d * d <= n; d++) if (n % d == 0) return 1;
	printf("%llu is a prime\n", n);
	return 0;
}
