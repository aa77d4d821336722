// program.c is what tests run in workers: what it does is its first argument. Built by build.sh.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static volatile int sink;

static int deep(int n);
static int (*volatile again)(int) = deep; // so that the compiler makes no loop of it
static int deep(int n) { return again(n + 1) ^ n; }

int main(int argc, char **argv) {
	static char buf[1 << 16];
	const char *what = argc > 1 ? argv[1] : "";
	if (!strcmp(what, "cat")) {
		size_t n;
		while ((n = fread(buf, 1, sizeof buf, stdin)) > 0) fwrite(buf, 1, n, stdout);
		return ferror(stdin) || fflush(stdout);
	}
	if (!strcmp(what, "file")) {
		FILE *f = fopen(argv[2], "r");
		if (!f) { perror(argv[2]); return 3; }
		size_t n;
		while ((n = fread(buf, 1, sizeof buf, f)) > 0) fwrite(buf, 1, n, stdout);
		return 0;
	}
	if (!strcmp(what, "env")) {
		for (int i = 2; i < argc; i++) printf("%s=%s\n", argv[i], getenv(argv[i]) ? getenv(argv[i]) : "(none)");
		printf("time %lld\n", (long long)time(NULL));
		return 0;
	}
	if (!strcmp(what, "exit")) return atoi(argv[2]);
	if (!strcmp(what, "spin")) for (;;) sink++;
	if (!strcmp(what, "deep")) return deep(0);
	if (!strcmp(what, "trap")) __builtin_trap();
	if (!strcmp(what, "memory")) { // takes all that there is, and says how much that was
		size_t got = 0;
		for (char *volatile p; (p = malloc(1 << 20)); got++) memset(p, 1, 1 << 20);
		printf("%zu MiB\n", got);
		return 0;
	}
	if (!strcmp(what, "log")) for (;;) fputs("a line that nobody wants to read, again and again\n", stderr);
	if (!strcmp(what, "output")) for (;;) fwrite(buf, 1, sizeof buf, stdout);
	if (!strcmp(what, "calls")) for (;;) sink += time(NULL);
	fprintf(stderr, "nothing is called %s\n", what);
	return 2;
}
