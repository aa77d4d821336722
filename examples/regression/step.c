// step.c is the reduce of a round: it adds up what the maps gave, by key, and writes the next model: each weight less the learning rate, which is the
// first argument, times its mean gradient. The mean loss before the step goes to the log. Built by build.sh.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 256
#define UNIT 4294967296.0

static char line[1 << 16];

int main(int argc, char **argv) {
	double w[MOST + 1];
	int64_t sum[MOST + 1] = {0}, loss = 0, rows = 0;
	int n = 0;
	if (argc != 2) {
		fprintf(stderr, "want one argument, the learning rate\n");
		return 1;
	}
	FILE *f = fopen("/model.txt", "r");
	if (!f) {
		fprintf(stderr, "there is no /model.txt\n");
		return 1;
	}
	for (; n <= MOST && fgets(line, sizeof line, f); n++) w[n] = atof(line);
	fclose(f);
	while (fgets(line, sizeof line, stdin)) {
		char *tab = strchr(line, '\t');
		int i = atoi(line);
		if (!tab || i < 0 || i >= n) {
			fprintf(stderr, "not what gradient.c writes: %s", line);
			return 1;
		}
		int64_t v = atoll(tab + 1);
		int64_t *to = !strncmp(line, "loss\t", 5) ? &loss : !strncmp(line, "rows\t", 5) ? &rows : &sum[i];
		if (__builtin_add_overflow(*to, v, to)) {
			fprintf(stderr, "a sum is too large: scale the features\n");
			return 1;
		}
	}
	if (!rows) {
		fprintf(stderr, "there are no rows\n");
		return 1;
	}
	fprintf(stderr, "loss %.9f over %lld rows\n", loss / UNIT / rows, (long long)rows);
	for (int i = 0; i < n; i++) printf("%.17g\n", w[i] - atof(argv[1]) * (sum[i] / UNIT / rows));
	return 0;
}
