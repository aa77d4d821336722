// gradient.c is the map of a round: it reads rows (label 0 or 1, then the features, parted by commas) and /model.txt (the bias and a weight for each
// feature, a line each), and writes the sums of what each row adds to the gradient, to the loss and to the count, as KEY TAB NUMBER.
//
// What a row adds is rounded to 2^-32 and added up as an integer. So the sum is the same in whatever order rows are added, and however many tasks
// they are divided into. Built by build.sh.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 256 // features
#define UNIT 4294967296.0
#define BOUND 1e6 // of what a row adds

static char line[1 << 16];

static int64_t fixed(double x) {
	if (!(x < BOUND)) x = BOUND; // also what is no number
	if (x < -BOUND) x = -BOUND;
	return llround(x * UNIT);
}

// add adds to a sum; 0 when it would not fit any more.
static int add(int64_t *sum, double x) { return !__builtin_add_overflow(*sum, fixed(x), sum); }

static int fail(const char *why, long row) {
	fprintf(stderr, "%s, in row %ld of the task\n", why, row);
	return 1;
}

int main(void) {
	double w[MOST + 1], x[MOST + 1];
	int64_t sum[MOST + 1] = {0}, loss = 0, rows = 0;
	int n = 0;
	FILE *f = fopen("/model.txt", "r");
	if (!f) return fail("there is no /model.txt", 0);
	for (; n <= MOST && fgets(line, sizeof line, f); n++) w[n] = atof(line);
	fclose(f);
	while (fgets(line, sizeof line, stdin)) {
		char *at = line, *end;
		double y = strtod(at, &end);
		if (end == at || (y != 0 && y != 1)) return fail("the label is neither 0 nor 1", rows + 1);
		double z = w[0];
		x[0] = 1;
		for (int i = 1; i < n; i++) {
			at = end + 1;
			if (*end != ',') return fail("there are fewer features than weights", rows + 1);
			x[i] = strtod(at, &end);
			if (end == at) return fail("a feature is no number", rows + 1);
			z += w[i] * x[i];
		}
		if (*end == ',') return fail("there are more features than weights", rows + 1);
		double p = 1 / (1 + exp(-z));
		for (int i = 0; i < n; i++)
			if (!add(&sum[i], (p - y) * x[i])) return fail("a sum is too large: scale the features", rows + 1);
		if (!add(&loss, -log(fmax(y ? p : 1 - p, 1e-12)))) return fail("the loss is too large", rows + 1);
		rows++;
	}
	for (int i = 0; i < n; i++) printf("%d\t%lld\n", i, (long long)sum[i]);
	printf("loss\t%lld\nrows\t%lld\n", (long long)loss, (long long)rows);
	return 0;
}
