// sum.c is a reduce: it reads key TAB number, sorted, and writes each key with its sum. Built by build.sh.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char line[1 << 20], key[1 << 20];

int main(void) {
	long long sum = 0;
	int some = 0;
	while (fgets(line, sizeof line, stdin)) {
		char *tab = strchr(line, '\t');
		if (!tab) { fprintf(stderr, "no tab in %s", line); return 1; }
		*tab = 0;
		if (some && strcmp(line, key)) {
			printf("%s\t%lld\n", key, sum);
			sum = 0;
		}
		strcpy(key, line);
		sum += atoll(tab + 1);
		some = 1;
	}
	if (some) printf("%s\t%lld\n", key, sum);
	return 0;
}
